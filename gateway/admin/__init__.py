"""The admin API: tenants, keys, facedbs and usage, for operators. On a socket and with a key of its own."""

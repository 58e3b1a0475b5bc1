"""The OpenAPI documents of the calls and of the admin API."""

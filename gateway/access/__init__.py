"""Access to the calls: authentication, admission and limits."""

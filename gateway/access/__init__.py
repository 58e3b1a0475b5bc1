"""Who may make a call, and when: authentication, admission and limits."""

"""Who may do what: tokens and roles, TLS, what is counted and what is written down."""

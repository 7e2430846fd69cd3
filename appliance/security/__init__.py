"""Access to the service: tokens and roles, TLS, exposure, audit log."""

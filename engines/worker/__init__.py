"""An engine in a process of its own, behind a Unix socket; `engines.python_launch` starts it."""

"""An engine in a process of its own, behind a Unix socket: `python3.6 -m engines.worker`."""

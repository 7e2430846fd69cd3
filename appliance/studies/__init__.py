"""Studies from acceptance to result: the spool, the queue, the reader process. No HTTP."""

"""From the spool into a sink: the worker thread, retries, dead letters."""

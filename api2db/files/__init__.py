"""Bytes on disk: the I/O seam, atomic writes, the paths of the STORE, its lock."""

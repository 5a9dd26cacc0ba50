"""Values: what moves, how it fails, when, under which name. No I/O, no threads."""

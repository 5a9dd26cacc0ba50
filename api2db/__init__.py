"""api2db: a daemon between APIs and databases. Every row lands once."""

__version__ = "2.0.0.dev0"

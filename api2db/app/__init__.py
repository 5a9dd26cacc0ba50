"""The daemon: config, schedule, supervision, signals, metrics, status."""

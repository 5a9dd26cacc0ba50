"""The durable queue: one append-only log per collector, one cursor per stream."""

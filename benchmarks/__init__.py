"""Speed and memory of whole processes."""

"""What `benchmarks.end_to_end` compares with: programs of their own, each run by itself."""

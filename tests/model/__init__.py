"""Model tests: the real code on a disk that loses, tears and damages what was not synced."""

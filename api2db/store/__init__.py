"""Recomposition: the shards of a folder, ours or anybody's, as rows for other targets."""

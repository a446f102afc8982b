"""A run on disk: files, checkpoints, lock."""

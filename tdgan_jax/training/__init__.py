"""The training loop, what comes before it, and cross-validation."""

"""What the figures of a run mean and how they are computed."""

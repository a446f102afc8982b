"""AffectNet: photographs of faces from the web with expression, valence and arousal."""

"""Aff-Wild2: frames of videos from the web with expression, valence and arousal."""

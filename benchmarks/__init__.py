"""Measurements of speed; README.md says how to run them."""

"""The embedded dataset of drawn faces: factors, drawing and TFDS builder."""

"""The embedded dataset of drawn faces: factors, drawing, TFDS builder and difficulty check."""

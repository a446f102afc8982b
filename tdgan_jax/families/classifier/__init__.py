"""The plain classifier: an encoder and a head."""

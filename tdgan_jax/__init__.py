"""Facial expression recognition by disentanglement, in JAX."""

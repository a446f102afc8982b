"""Figures of disentanglement: what features tell of identity and expression."""

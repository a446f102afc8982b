"""Trained models on disk: opening, export, import."""

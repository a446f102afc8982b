"""Trained models as a user holds them: opening runs and exports, inference, export, import."""

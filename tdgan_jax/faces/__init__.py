"""Faces in a photograph: MTCNN's detection and the one versioned function that crops and aligns."""

"""RaFD: the Radboud Faces, 67 people with eight posed expressions."""

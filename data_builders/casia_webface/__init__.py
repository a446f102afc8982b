"""CASIA-WebFace: photographs of faces of 10,575 people found on the web."""

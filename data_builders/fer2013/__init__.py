"""FER-2013: photographs of faces found on the web, with seven expressions."""

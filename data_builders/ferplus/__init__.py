"""FER+: the photographs of FER-2013 with the votes of ten raters for eight expressions."""

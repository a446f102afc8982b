"""AT&T (ORL) faces: 40 people, ten photographs each."""

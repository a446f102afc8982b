"""CK+: sequences of posed expressions of 123 people, from neutral to the peak."""

"""The six systems, a folder each, and what all of them share."""

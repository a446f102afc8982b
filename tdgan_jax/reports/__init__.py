"""The report of a run: sections, figures, page."""

"""Pictures of a run: sample sheets, figures and the HTML report."""

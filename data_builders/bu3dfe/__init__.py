"""BU-3DFE: face scans of 100 people with six expressions in four intensities."""

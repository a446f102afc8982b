"""ESR, ensembles with shared representations, plain and with diversified features."""

"""Emotion-GCN: classifiers and regressors made by a graph network out of words of emotions."""

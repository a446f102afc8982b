"""Datasets and the input pipeline: sources, builders, folds, augmentation, pairing."""

"""How far an accuracy could lie from what one test set shows."""

import numpy as np
from scipy.stats import bootstrap

NUM_RESAMPLES = 2000
CONFIDENCE_LEVEL = 0.95


def accuracy_interval(correct: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Bootstrap interval of an accuracy, resampling whole groups (Efron 1979, percentiles).

    Pictures of one person, or frames of one sequence, are not independent: a resample takes all of
    a group or none. The draws are fixed, so that the same answers give the same interval.

    Args:
        correct: bool `[N]`, whether each answer is right.
        groups: `[N]`, the subject of each example, or anything unique where it is unknown.

    Returns:
        Lower and upper end of the 95 % interval, in 0..1. With a single group it is the accuracy
        twice: one person tells nothing about others.
    """
    _, group_index = np.unique(groups, return_inverse=True)
    right = np.bincount(group_index, weights=correct)
    total = np.bincount(group_index).astype(float)
    if len(total) == 1:
        accuracy = float(np.mean(correct))
        return accuracy, accuracy
    result = bootstrap(
        (right, total),
        lambda right, total, axis: right.sum(axis) / total.sum(axis),
        paired=True,
        n_resamples=NUM_RESAMPLES,
        batch=100,  # bounds the memory: that many resamples of the groups at once
        confidence_level=CONFIDENCE_LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)

"""How far a figure could lie from what one test set shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import bootstrap

NUM_RESAMPLES = 2000
CONFIDENCE_LEVEL = 0.95
# Bounds the memory: so many draws at once.
NUM_DRAWS = 2_000_000


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
    return bootstrap_ratio(right, total)


def bootstrap_ratio(numerators: np.ndarray, denominators: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of the ratio of two sums when their terms are resampled together.

    Args:
        numerators: float `[G]`, of each group; two groups at least.
        denominators: float `[G]`.
    """
    result = bootstrap(
        (numerators, denominators),
        lambda above, below, axis: above.sum(axis) / below.sum(axis),
        paired=True,
        n_resamples=NUM_RESAMPLES,
        batch=100,  # bounds the memory: that many resamples of the groups at once
        confidence_level=CONFIDENCE_LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def resampled_sums(group_sums: np.ndarray) -> np.ndarray:
    """Sums over resamples of the groups, for figures that are functions of several sums.

    The draws are fixed and the same for every column.

    Args:
        group_sums: float `[G, K]`, K sums over the examples of each group.

    Returns:
        float `[NUM_RESAMPLES, K]`.
    """
    rng = np.random.default_rng(0)
    num_groups = len(group_sums)
    at_once = max(1, NUM_DRAWS // num_groups)
    parts = []
    for start in range(0, NUM_RESAMPLES, at_once):
        count = min(at_once, NUM_RESAMPLES - start)
        drawn = rng.integers(num_groups, size=(count, num_groups))
        drawn += num_groups * np.arange(count)[:, None]
        occurrences = np.bincount(drawn.ravel(), minlength=count * num_groups)
        parts.append(occurrences.reshape(count, num_groups) @ group_sums)
    return np.concatenate(parts)


def interval_fields(correct: np.ndarray, groups: np.ndarray, *, unit: str) -> dict[str, Any] | None:
    """An accuracy's interval with how it was computed, as `result.json` holds it.

    Args:
        correct: bool `[N]`.
        groups: `[N]`, see `accuracy_interval`.
        unit: What a group is: "subject" or "image".

    Returns:
        `low` and `high` in 0..1, `confidence`, `unit`, `num_units` and `num_resamples`; None with
        a single group, which tells nothing about others.
    """
    num_units = len(np.unique(groups))
    if num_units < 2:
        return None
    return described_interval(*accuracy_interval(correct, groups), unit=unit, num_units=num_units)


def described_interval(low: float, high: float, *, unit: str, num_units: int) -> dict[str, Any]:
    """An interval with how it was computed, see `interval_fields`."""
    return {
        "low": low,
        "high": high,
        "confidence": CONFIDENCE_LEVEL,
        "unit": unit,
        "num_units": num_units,
        "num_resamples": NUM_RESAMPLES,
    }


def subject_counts(correct: np.ndarray, subjects: np.ndarray) -> dict[str, list[int]]:
    """Right answers and examples of each subject, `{name: [right, all]}`, in the names' order.

    Args:
        correct: bool `[N]`.
        subjects: text `[N]`.
    """
    names, index = np.unique(subjects, return_inverse=True)
    right = np.bincount(index, weights=correct).astype(int).tolist()
    everything = np.bincount(index).tolist()
    return {
        str(name): [*counts]
        for name, counts in zip(names, zip(right, everything, strict=True), strict=True)
    }


def pooled_interval(per_subject: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
    """`interval_fields` of answers that were counted by subject.

    Args:
        per_subject: As `subject_counts` gives it.
    """
    correct, subjects = [], []
    for name, (right, everything) in per_subject.items():
        correct += [True] * right + [False] * (everything - right)
        subjects += [name] * everything
    return interval_fields(np.array(correct), np.array(subjects), unit="subject")

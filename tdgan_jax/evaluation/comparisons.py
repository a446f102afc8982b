"""Which of two trainings is better: differences paired over the same seeds, folds or subjects.

Two accuracies measured on the same people go up and down together with how hard these people are;
their difference does not. So differences are formed pair by pair, and their spread is looked at.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from tdgan_jax.evaluation.intervals import CONFIDENCE_LEVEL, bootstrap_ratio

Counts = Mapping[str, Sequence[int]]


class Difference(NamedTuple):
    """Second less first, in accuracy.

    Attributes:
        mean: Mean difference, -1 to 1.
        standard_deviation: Of the pairs' differences (n - 1); None for one pair or for subjects.
        low: Lower end of the 95 % interval; None where one pair tells nothing of it.
        high: Upper end.
        num_pairs: Number of pairs.
        unit: What is paired: "seed", "fold" or "subject".
    """

    mean: float
    standard_deviation: float | None
    low: float | None
    high: float | None
    num_pairs: int
    unit: str


def paired_difference(
    first: Mapping[str, float],
    second: Mapping[str, float],
    *,
    unit: str,
    test_over_train: float = 0.0,
) -> Difference | None:
    """Compares two configurations over the trainings that both have.

    The interval is Student's, of the mean of the differences. Folds of one cross-validation share
    most of their training images, so that their differences go up and down together and spread less
    than those of independent trainings: the variance of their mean is not `s^2 / J` but
    `(1 / J + n_test / n_train) s^2` (Nadeau and Bengio 2003, "Inference for the generalization
    error", Machine Learning 52; with several seeds of each fold as Bouckaert and Frank 2004).

    Args:
        first: Accuracy by the name of the pair: the seed, the fold, or both.
        second: The same of the other configuration; pairs that only one has are left out.
        unit: What a pair is.
        test_over_train: Number of test images over that of training images where the pairs are
            folds; 0 for trainings on one division, whose interval says what other seeds would
            change and not what other images would.

    Returns:
        None if there is no pair.
    """
    shared = [name for name in first if name in second]
    if not shared:
        return None
    differences = np.array([second[name] - first[name] for name in shared])
    mean, count = float(differences.mean()), len(shared)
    if count < 2:
        return Difference(mean, None, None, None, count, unit)
    deviation = float(differences.std(ddof=1))
    error = deviation * (1 / count + test_over_train) ** 0.5
    reach = float(stats.t.ppf((1 + CONFIDENCE_LEVEL) / 2, count - 1)) * error
    return Difference(mean, deviation, mean - reach, mean + reach, count, unit)


def fold_test_over_train(data: Mapping[str, Any]) -> float:
    """Test images over training images of a fold, where all folds are equally large.

    Args:
        data: The section `data` of a configuration.

    Returns:
        0 without folds.
    """
    num_folds = data.get("num_folds", 0)
    if not num_folds:
        return 0.0
    validation, others = data.get("validation", "subjects"), num_folds - 1.0
    if validation == "next_fold":
        others -= 1
    elif validation == "subjects":
        others *= 1 - data.get("validation_fraction", 0.0)
    return 1 / others


def subject_difference(first: Counts, second: Counts) -> Difference | None:
    """Compares two models on the same test people: a bootstrap over these.

    It holds what other people would change, not what another seed of the training would.

    Args:
        first: `per_subject` of a result, `{name: [right, all]}`.
        second: That of the other model.

    Returns:
        None unless both were asked about the same people with as many pictures of each, and about
        two people at least.
    """
    if len(first) < 2 or first.keys() != second.keys():
        return None
    before, after = (np.array([counts[name] for name in first]) for counts in (first, second))
    if not np.array_equal(before[:, 1], after[:, 1]):
        return None
    gained, asked = after[:, 0] - before[:, 0], before[:, 1]
    low, high = bootstrap_ratio(gained, asked)
    return Difference(float(gained.sum() / asked.sum()), None, low, high, len(first), "subject")

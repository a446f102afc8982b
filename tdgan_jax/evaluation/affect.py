"""Figures of valence and arousal over a set: the `affect` of a recogniser in `result.json`.

Labels and answers are `[N, 2]`, valence and arousal in [-1, 1]; a label that is not known is NaN,
and the example then counts for the other dimension alone. Everything returned for `result.json`
goes into JSON unchanged: a figure that is not defined is None, never NaN.
"""

from typing import Any

import numpy as np

from tdgan_jax.evaluation.intervals import CONFIDENCE_LEVEL, described_interval, resampled_sums

DIMENSIONS = ("valence", "arousal")
# A variance of numbers in [-1, 1] below this is rounding.
NEGLIGIBLE = 1e-12


def affect_figures(
    labels: np.ndarray,
    answers: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    unit: str = "image",
) -> dict[str, dict[str, Any]]:
    """Figures of valence and arousal, as `result.json` holds them.

    Args:
        labels: float `[N, 2]`, NaN where unknown.
        answers: float `[N, 2]`.
        groups: `[N]`, the subject of each example; None: each is its own.
        unit: What a group is: "subject" or "image".

    Returns:
        For `valence` and `arousal`: `ccc` (Lin's concordance, 1/n throughout) and `pearson` in
        -1..1, `rmse`, `sign_agreement` in 0..1 (same signs; 0 is a sign of its own), `num_examples`
        with a label; and for each of the four its interval, a bootstrap over the groups, as
        `ccc_interval` and so on. Figures that are not defined, and intervals of fewer than two
        groups, are None.

    Raises:
        ValueError: If the shapes do not fit together, or a label is infinite or an answer not
            finite.
    """
    labels, answers = np.asarray(labels, np.float64), np.asarray(answers, np.float64)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    _check(labels, answers, groups)
    figures = {}
    for column, name in enumerate(DIMENSIONS):
        known = ~np.isnan(labels[:, column])
        figures[name] = _figures(
            labels[known, column], answers[known, column], groups[known], unit=unit
        )
    return figures


def concordance(labels: np.ndarray, answers: np.ndarray, *, variance_ddof: int = 0) -> float:
    """Lin's concordance correlation coefficient (Lin 1989, Biometrics 45).

    Args:
        labels: float `[N]`.
        answers: float `[N]`.
        variance_ddof: The variances have 1/(n - this), the covariance 1/n. 1: as Emotion-GCN's
            program computes it of a batch (spec Emotion-GCN 3), which gives a perfect batch of n
            examples (n - 1)/n.

    Returns:
        -1 to 1; NaN where it is not defined: for too few examples, or if all labels and answers
        are the same number.
    """
    if len(labels) <= variance_ddof:
        return float("nan")
    gap = labels.mean() - answers.mean()
    covariance = ((labels - labels.mean()) * (answers - answers.mean())).mean()
    spread = labels.var(ddof=variance_ddof) + answers.var(ddof=variance_ddof) + gap**2
    return float(2 * covariance / spread) if spread > NEGLIGIBLE else float("nan")


def batch_figures(
    labels: np.ndarray, answers: np.ndarray, batch_size: int
) -> dict[str, dict[str, Any]]:
    """The mean over batches of the concordance with mixed denominators, as Emotion-GCN reports it.

    It depends on the batch size and on the order of the examples, and cannot reach 1: beside it
    stands what perfect answers would have.

    Args:
        labels: float `[N, 2]`, NaN where unknown.
        answers: float `[N, 2]`.
        batch_size: Examples in a batch; those without a label are left out before.

    Returns:
        For `valence` and `arousal`: `batch_ccc` and `largest_batch_ccc`, the mean of (n - 1)/n,
        over the `num_batches` where the concordance is defined; None without any.

    Raises:
        ValueError: As `affect_figures`.
    """
    labels, answers = np.asarray(labels, np.float64), np.asarray(answers, np.float64)
    _check(labels, answers, np.arange(len(labels)))
    figures = {}
    for column, name in enumerate(DIMENSIONS):
        known = np.flatnonzero(~np.isnan(labels[:, column]))
        batches = [known[i : i + batch_size] for i in range(0, len(known), batch_size)]
        values = [
            concordance(labels[b, column], answers[b, column], variance_ddof=1) for b in batches
        ]
        defined = np.isfinite(values)
        largest = [1 - 1 / len(batch) for batch in batches]
        figures[name] = {
            "batch_ccc": _mean_or_none(np.array(values)[defined]),
            "largest_batch_ccc": _mean_or_none(np.array(largest)[defined]),
            "num_batches": int(defined.sum()),
        }
    return figures


def _check(labels: np.ndarray, answers: np.ndarray, groups: np.ndarray) -> None:
    if labels.ndim != 2 or labels.shape[1] != len(DIMENSIONS) or answers.shape != labels.shape:
        raise ValueError(f"labels {labels.shape} and answers {answers.shape} must be [N, 2]")
    if groups.shape != labels.shape[:1]:
        raise ValueError(f"there are {len(labels)} examples and groups of shape {groups.shape}")
    if np.isinf(labels).any() or not np.isfinite(answers).all():
        raise ValueError("a label is infinite, or an answer is not finite")


def _figures(
    labels: np.ndarray, answers: np.ndarray, groups: np.ndarray, *, unit: str
) -> dict[str, Any]:
    """Figures of one dimension; all its labels are known."""
    names, group_index = np.unique(groups, return_inverse=True)
    sums = _group_sums(labels, answers, group_index)
    figures: dict[str, Any] = {
        name: _or_none(value) for name, value in _of_sums(sums.sum(axis=0)).items()
    }
    figures["num_examples"] = len(labels)
    resampled = _of_sums(resampled_sums(sums)) if len(names) > 1 else {}
    for name in ("ccc", "rmse", "pearson", "sign_agreement"):
        defined = resampled.get(name, np.empty(0))
        defined = defined[np.isfinite(defined)]
        figures[f"{name}_interval"] = None
        if len(defined) and figures[name] is not None:
            tail = (1 - CONFIDENCE_LEVEL) / 2
            low, high = np.quantile(defined, [tail, 1 - tail]).tolist()
            figures[f"{name}_interval"] = described_interval(
                low, high, unit=unit, num_units=len(names)
            )
    return figures


def _group_sums(labels: np.ndarray, answers: np.ndarray, group_index: np.ndarray) -> np.ndarray:
    """All that the figures are functions of, summed over each group, `[G, 8]`."""
    if not len(labels):
        return np.zeros((0, 8))
    # The same shift of both changes no difference and keeps the digits of the variances.
    x, y = labels - labels.mean(), answers - labels.mean()
    terms = (
        np.ones_like(x),
        x,
        y,
        x * x,
        y * y,
        x * y,
        (labels - answers) ** 2,
        np.sign(labels) == np.sign(answers),
    )
    return np.stack([np.bincount(group_index, weights=term) for term in terms], axis=1)


def _of_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of sums `[..., 8]`, NaN where they are not defined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y, xx, yy, xy, squares, agreeing = np.moveaxis(sums[..., 1:] / sums[..., :1], -1, 0)
        variances = np.stack([xx - x * x, yy - y * y])
        covariance = xy - x * y
        spread = variances.sum(axis=0) + (x - y) ** 2
        product = np.sqrt(np.maximum(variances, 0).prod(axis=0))
        pearson = np.where(variances.min(axis=0) > NEGLIGIBLE, covariance / product, np.nan)
        return {
            "ccc": np.where(spread > NEGLIGIBLE, 2 * covariance / spread, np.nan),
            "rmse": np.sqrt(squares),
            "pearson": np.clip(pearson, -1, 1),
            "sign_agreement": agreeing,
        }


def _or_none(value: np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)


def _mean_or_none(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None

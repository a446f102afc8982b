"""Recognition figures of one classifier on one split: the fields of a run's `result.json`.

Everything returned here goes into JSON unchanged: plain Python numbers, lists and text, never NaN.

A mean over classes (`mean_class_accuracy`, `macro_f1`) runs over the classes that occur among the
true labels. A class without examples has no recall, so it can neither raise nor lower the mean;
predicting it still costs recall of the class that was meant.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import metrics

from tdgan_jax.evaluation.intervals import pooled_interval
from tdgan_jax.runs.folder import recognisers

SUMMARISED_FIGURES = ("accuracy", "mean_class_accuracy", "macro_f1")
# Where an answer has no probability at all: what the cross-entropy counts of it.
LEAST_PROBABILITY = 1e-7
# An interval of an accuracy that says next to nothing.
_WIDE = 0.3


def recognition_metrics(
    labels: np.ndarray,
    logits: np.ndarray,
    label_names: Sequence[str],
    probabilities: np.ndarray | None = None,
) -> dict[str, Any]:
    """Computes the figures of one recogniser, as `result.json` holds them.

    Args:
        labels: True classes, integers [N] in 0 .. C-1.
        logits: Scores, float [N, C]; the largest one is the answer.
        label_names: The C class names in the order of the logits.
        probabilities: float [N, C], of answers that are no logits; the softmax of the logits by
            default. In the cross-entropy none is less than `LEAST_PROBABILITY`.

    Returns:
        `accuracy`, `mean_class_accuracy` and `macro_f1` in 0..1; `cross_entropy` (mean, in nats);
        `expected_calibration_error` in 0..1 and `calibration_bins`, what it is the mean of;
        `confusion_matrix` (C x C counts, a row is a true class); `labels` (the names in order);
        `num_examples`; and `per_class`, which gives
        `precision`, `recall` and `num_examples` by class name. Precision is None for a class that
        was never answered, recall is None for a class without examples.

    Raises:
        ValueError: Shapes that do not fit together, no example, a label outside 0 .. C-1 (drop
            unlabelled examples first), or a logit that is not finite.
    """
    labels = np.asarray(labels)
    logits = np.asarray(logits, dtype=np.float64)
    _check(labels, logits, label_names)
    if probabilities is None:
        log_probabilities = _log_softmax(logits)
        probabilities = np.exp(log_probabilities)
    else:
        probabilities = np.asarray(probabilities, np.float64)
        log_probabilities = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    answers = logits.argmax(axis=1)
    bins = calibration_bins(labels, probabilities)
    return _figures(labels, answers, label_names) | {
        "cross_entropy": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        "expected_calibration_error": expected_calibration_error(bins),
        "calibration_bins": bins,
    }


def calibration_bins(
    labels: np.ndarray, probabilities: np.ndarray, num_bins: int = 15
) -> list[dict[str, Any]]:
    """Confidence and accuracy of answers of about equal confidence.

    Args:
        labels: True classes, integers [N].
        probabilities: Softmax outputs, float [N, C] in 0..1.
        num_bins: Number of confidence bins of equal width.

    Returns:
        The bins that hold examples, from the lowest on: mean `confidence` and `accuracy` in 0..1,
        `num_examples`.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    counts = np.bincount(bins)
    confidences = np.bincount(bins, weights=confidence)
    right = np.bincount(bins, weights=correct)
    return [
        {
            "confidence": float(confidences[index] / counts[index]),
            "accuracy": float(right[index] / counts[index]),
            "num_examples": int(counts[index]),
        }
        for index in np.flatnonzero(counts)
    ]


def expected_calibration_error(bins: Sequence[Mapping[str, Any]]) -> float:
    """Mean gap between confidence and accuracy (Guo et al. 2017, equation 3).

    Args:
        bins: `calibration_bins`.

    Returns:
        The gap in 0..1, each bin weighted by its number of examples.
    """
    counts = [bin["num_examples"] for bin in bins]
    gaps = [abs(bin["accuracy"] - bin["confidence"]) for bin in bins]
    return float(np.average(gaps, weights=counts))


def cross_validation_summary(fold_results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Summarises the folds of a cross-validation, as `cross_validation.json` holds them.

    Args:
        fold_results: By fold name, in order, the content of that fold's `result.json`.

    Returns:
        `folds` (the names) and for every recogniser that all folds have: for accuracy, mean class
        accuracy and macro F1 `{"per_fold", "mean", "standard_deviation", "pooled"}`, and `pooled`,
        the figures of all folds' test examples taken as one set (confusion matrices added; where
        the folds name their subjects, `accuracy_interval` over all of them and `per_subject`; with
        the `left_out` classes and the marks of training images that the folds have). The deviation
        is the sample's (n - 1), 0 for a single fold.

    Raises:
        ValueError: There is no fold, or the folds' label names or their order differ.
    """
    if not fold_results:
        raise ValueError("there is no fold to summarise")
    folds = list(fold_results.values())
    summary: dict[str, Any] = {"folds": list(fold_results)}
    for name, first in recognisers(folds[0]).items():
        if not all(name in recognisers(fold) for fold in folds):
            continue
        if any(fold[name]["labels"] != first["labels"] for fold in folds):
            raise ValueError(f"the folds differ in the labels of {name}")
        matrix = np.sum([fold[name]["confusion_matrix"] for fold in folds], axis=0)
        true_class, answer = np.indices(matrix.shape).reshape(2, -1)
        pooled = _figures(true_class, answer, first["labels"], counts=matrix.ravel())
        pooled |= _pooled_subjects([fold[name].get("per_subject") for fold in folds])
        pooled |= _pooled_remarks([fold[name] for fold in folds])
        summary[name] = {"pooled": pooled} | {
            figure: _spread([fold[name][figure] for fold in folds]) | {"pooled": pooled[figure]}
            for figure in SUMMARISED_FIGURES
        }
    return summary


def majority_answer(figures: Mapping[str, Any]) -> tuple[str, float] | None:
    """The most frequent class and the accuracy of always answering it; None without a matrix."""
    counts = [sum(row) for row in figures.get("confusion_matrix") or []]
    if not sum(counts):
        return None
    most = max(counts)
    return figures["labels"][counts.index(most)], most / sum(counts)


def chance_warning(figures: Mapping[str, Any]) -> str | None:
    """Says that an accuracy is at, near or below that of always answering the same class.

    Near means that its interval reaches down to it.

    Args:
        figures: Of one recogniser, as `result.json` holds them.

    Returns:
        A sentence that begins with the accuracy; None if there is nothing to warn of.
    """
    majority = majority_answer(figures)
    if majority is None:
        return None
    label, chance = majority
    accuracy, interval = figures["accuracy"], figures.get("accuracy_interval")
    if accuracy <= chance:
        found = "is no better than"
    elif interval is not None and interval["low"] <= chance:
        found = f"({interval['low']:.3f} to {interval['high']:.3f}) is hardly better than"
    else:
        return None
    cause = "Too little training, or is the label order wrong?"
    if interval is not None and interval["low"] <= chance <= interval["high"]:
        if interval["high"] - interval["low"] > _WIDE:
            units = f"{interval['num_units']} {interval['unit']}s"
            cause = f"The {units} of the test are too few to tell."
    return f"{accuracy:.3f} {found} always answering “{label}” ({chance:.3f}). {cause}"


def _pooled_subjects(per_fold: Sequence[Mapping[str, Sequence[int]] | None]) -> dict[str, Any]:
    known = [counts for counts in per_fold if counts is not None]
    if len(known) < len(per_fold):
        return {}
    per_subject: dict[str, list[int]] = {}
    for counts in known:
        for name, (right, everything) in counts.items():
            before = per_subject.get(name, [0, 0])
            per_subject[name] = [before[0] + right, before[1] + everything]
    return {"accuracy_interval": pooled_interval(per_subject), "per_subject": per_subject}


def _pooled_remarks(per_fold: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What evaluations of another dataset say beside their figures."""
    remarks = {}
    if left_out := next((fold["left_out"] for fold in per_fold if "left_out" in fold), None):
        remarks["left_out"] = left_out
    if any(fold.get("holds_training_images") for fold in per_fold):
        remarks["holds_training_images"] = True
        remarks["num_training_images"] = sum(
            fold.get("num_training_images", 0) for fold in per_fold
        )
    return remarks


def _check(labels: np.ndarray, logits: np.ndarray, label_names: Sequence[str]) -> None:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers [N], got {labels.dtype} {labels.shape}")
    if logits.shape != (len(labels), len(label_names)):
        raise ValueError(
            f"logits have shape {logits.shape}, expected {(len(labels), len(label_names))}: "
            f"{len(labels)} labels and {len(label_names)} label names"
        )
    if not len(labels):
        raise ValueError("there is no example to evaluate")
    if labels.min() < 0 or labels.max() >= len(label_names):
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, "
            f"the {len(label_names)} names allow 0 to {len(label_names) - 1}"
        )
    if not np.isfinite(logits).all():
        bad = int((~np.isfinite(logits)).any(axis=1).sum())
        raise ValueError(f"the logits of {bad} of {len(labels)} examples are not finite")


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _figures(
    labels: np.ndarray,
    answers: np.ndarray,
    label_names: Sequence[str],
    counts: np.ndarray | None = None,
) -> dict[str, Any]:
    """Figures of N answers, or of N (true class, answer) pairs that occur `counts` times."""
    classes = np.arange(len(label_names))
    matrix = metrics.confusion_matrix(labels, answers, labels=classes, sample_weight=counts)
    per_row = matrix.sum(axis=1)
    # NaN where a quotient has no denominator; averages are taken over the present classes only.
    scores: Any = metrics.precision_recall_fscore_support(
        labels,
        answers,
        labels=classes,
        sample_weight=counts,
        average=None,
        zero_division=np.nan,  # pyright: ignore[reportArgumentType]
    )
    precision, recall, f1, _ = scores
    present = per_row > 0
    return {
        "accuracy": float(metrics.accuracy_score(labels, answers, sample_weight=counts)),
        "mean_class_accuracy": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
        "confusion_matrix": matrix.astype(int).tolist(),
        "labels": list(label_names),
        "num_examples": int(per_row.sum()),
        "per_class": {
            name: {
                "precision": _or_none(precision[index]),
                "recall": _or_none(recall[index]),
                "num_examples": int(per_row[index]),
            }
            for index, name in enumerate(label_names)
        },
    }


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _spread(values: list[float]) -> dict[str, Any]:
    return {
        "per_fold": values,
        "mean": float(np.mean(values)),
        "standard_deviation": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
    }

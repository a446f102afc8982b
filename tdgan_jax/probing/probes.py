"""Probes: small models that read a label out of frozen features.

Source: Alain and Bengio 2017, arXiv:1610.01644. Features are float `[N, D]`, standardised with the
mean and deviation of the examples that a probe is fitted on. How strongly a probe is regularised is
chosen on the validation part of a division; then it is fitted on the whole fit part.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.intervals import accuracy_interval
from tdgan_jax.probing.divisions import Division, check_divisions, early_part

PROBES = ("linear", "mlp")
# Strengths of the regularisation to choose from; the middle one where nothing can be chosen.
STRENGTHS = {"linear": (1e4, 1e3, 1e2, 1e1, 1e0), "mlp": (3e1, 1e1, 3e0, 1e0)}
MLP_HIDDEN_UNITS = 64
MLP_BATCH_SIZE = 200  # scikit-learn's own
MLP_UPDATES = 300
MLP_LEARNING_RATE = 3e-3
RIDGE_STRENGTHS = tuple(10.0**power for power in range(6))


class ProbeResult(NamedTuple):
    """What a probe could tell about the examples that it was asked about.

    Attributes:
        accuracy: Share of right answers.
        chance: The same for a model that always answers the most frequent class of the fit part.
        num_classes: Number of classes among the answers wanted.
        interval: Ends of the 95 % bootstrap interval of the accuracy over subjects.
        information: Lower bound of the mutual information of feature and label, as a share of the
            label's entropy: 1 - (the probe's cross-entropy) / (that of the class frequencies in
            the fit part), at least 0 (Barber and Agakov 2003, "The IM algorithm").
        num_examples: Number of examples asked about.
    """

    accuracy: float
    chance: float
    num_classes: int
    interval: tuple[float, float]
    information: float
    num_examples: int


def classification_probe(
    features: np.ndarray,
    targets: np.ndarray,
    divisions: Sequence[Division],
    *,
    groups: np.ndarray,
    subjects: np.ndarray,
    kind: str = "linear",
) -> ProbeResult:
    """How well a class can be told from features.

    Args:
        features: `[N, D]`.
        targets: `[N]`, the classes. Examples whose class the fit part lacks are not asked about.
        divisions: What is fitted and tested; the answers of all divisions are taken together.
        groups: `[N]`, never on both sides.
        subjects: `[N]`, resampled for the interval.
        kind: `"linear"` (multinomial logistic regression) or `"mlp"` (one hidden layer).

    Raises:
        ValueError: If a group stands on both sides.
        UserError: If nothing can be asked.
    """
    check_divisions(divisions, groups)
    parts = [_answers(features, targets, division, groups, kind) for division in divisions]
    asked, correct, constant_correct, losses, constant_losses = map(
        np.concatenate, zip(*parts, strict=True)
    )
    if not len(asked):
        raise UserError("no class of the test part occurs in the fit part of a probe")
    entropy = float(constant_losses.mean())
    return ProbeResult(
        accuracy=float(correct.mean()),
        chance=float(constant_correct.mean()),
        num_classes=len(np.unique(targets[asked])),
        interval=accuracy_interval(correct, subjects[asked]),
        information=max(0.0, 1.0 - float(losses.mean()) / entropy) if entropy else 0.0,
        num_examples=len(asked),
    )


def _answers(
    features: np.ndarray, targets: np.ndarray, division: Division, groups: np.ndarray, kind: str
) -> tuple[np.ndarray, ...]:
    """Positions asked about; right answers and losses of the probe and of the frequencies."""
    fit = division.fit
    test = division.test[np.isin(targets[division.test], targets[fit])]
    if not len(test):
        return test, test, test, test, test
    probe = _fitted_classifier(features, targets, division, groups, kind)
    log_probabilities = _log_probabilities(probe, features[test])
    classes, counts = np.unique(targets[fit], return_counts=True)
    right_column = np.searchsorted(classes, targets[test])
    return (
        test,
        log_probabilities.argmax(axis=1) == right_column,
        counts.argmax() == right_column,
        -log_probabilities[np.arange(len(test)), right_column],
        -np.log(counts / counts.sum())[right_column],
    )


def _fitted_classifier(
    features: np.ndarray, targets: np.ndarray, division: Division, groups: np.ndarray, kind: str
) -> Any:
    fit, validation = division.fit, division.validation
    early = early_part(division, groups)
    validation = validation[np.isin(targets[validation], targets[early])]
    strengths = STRENGTHS[kind]
    chosen = strengths[len(strengths) // 2]
    if len(validation) and len(np.unique(targets[early])) > 1:
        losses = [
            _loss(
                _fit(kind, strength, features[early], targets[early]), features, targets, validation
            )
            for strength in strengths
        ]
        chosen = strengths[int(np.argmin(losses))]
    return _fit(kind, chosen, features[fit], targets[fit])


def _fit(kind: str, strength: float, features: np.ndarray, targets: np.ndarray) -> Any:
    if len(np.unique(targets)) < 2:
        raise UserError("a probe needs at least two classes to fit")
    if kind == "linear":
        model: Any = LogisticRegression(C=1 / strength, max_iter=300)
    else:
        epochs = math.ceil(MLP_UPDATES / math.ceil(len(targets) / MLP_BATCH_SIZE))
        model = MLPClassifier(
            hidden_layer_sizes=(MLP_HIDDEN_UNITS,),
            alpha=strength,
            max_iter=epochs,
            learning_rate_init=MLP_LEARNING_RATE,
            random_state=0,
        )
    with warnings.catch_warnings():
        # A fixed number of iterations is part of what the probe is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Few pictures of many people are no mistake here.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        return make_pipeline(StandardScaler(), model).fit(features, targets)


def _log_probabilities(probe: Any, features: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probe.predict_proba(features), 1e-12, 1.0))


def _loss(probe: Any, features: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> float:
    log_probabilities = _log_probabilities(probe, features[rows])
    columns = np.searchsorted(probe.classes_, targets[rows])
    return -float(log_probabilities[np.arange(len(rows)), columns].mean())


def regression_probe(
    features: np.ndarray,
    values: np.ndarray,
    divisions: Sequence[Division],
    *,
    groups: np.ndarray,
) -> np.ndarray:
    """How much of the variance of numbers ridge regression explains from features.

    Args:
        features: `[N, D]`.
        values: float `[N, F]`, each column a factor of its own.
        divisions: What is fitted and tested; the answers of all divisions are taken together.
        groups: `[N]`, never on both sides.

    Returns:
        R^2 of each factor, float `[F]`: 1 is all, 0 as good as the mean of the tested values, below
        0 worse. NaN where the tested values are all the same.

    Raises:
        ValueError: If a group stands on both sides.
    """
    check_divisions(divisions, groups)
    answers = np.concatenate(
        [_explained(features, values, division, groups) for division in divisions]
    )
    tested = values[np.concatenate([division.test for division in divisions])]
    variance = tested.var(axis=0)
    error = np.square(answers - tested).mean(axis=0)
    return np.where(variance > 0, 1 - error / np.where(variance > 0, variance, 1.0), np.nan)


def _explained(
    features: np.ndarray, values: np.ndarray, division: Division, groups: np.ndarray
) -> np.ndarray:
    """Predictions `[T, F]` of the test part, each factor with the strength that suits it."""
    fit, validation, test = division
    early = early_part(division, groups)
    strengths = np.full(values.shape[1], RIDGE_STRENGTHS[len(RIDGE_STRENGTHS) // 2])
    if len(validation) and len(early):
        errors = [
            np.square(
                _fit_ridge(strength, features[early], values[early])
                .predict(features[validation])
                .reshape(len(validation), -1)
                - values[validation]
            ).mean(axis=0)
            for strength in RIDGE_STRENGTHS
        ]
        strengths = np.asarray(RIDGE_STRENGTHS)[np.argmin(errors, axis=0)]
    answers = np.empty((len(test), values.shape[1]))
    for strength in np.unique(strengths):
        columns = np.flatnonzero(strengths == strength)
        probe = _fit_ridge(strength, features[fit], values[fit][:, columns])
        answers[:, columns] = probe.predict(features[test]).reshape(len(test), -1)
    return answers


def _fit_ridge(strength: float, features: np.ndarray, values: np.ndarray) -> Any:
    return make_pipeline(StandardScaler(), Ridge(alpha=strength)).fit(features, values)

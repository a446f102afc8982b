import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tdgan_jax.cli.evaluate import remarks
from tdgan_jax.evaluation.intervals import accuracy_interval, subject_counts
from tdgan_jax.evaluation.metrics import (
    calibration_bins,
    chance_warning,
    cross_validation_summary,
    expected_calibration_error,
    recognition_metrics,
)

NAMES = ("anger", "happiness", "sadness")


def logits_for(answers, num_classes=3):
    return np.eye(num_classes, dtype=np.float32)[np.asarray(answers)] * 2.0


def test_hand_computed_figures():
    labels = np.array([0, 0, 0, 1, 1, 2])
    figures = recognition_metrics(labels, logits_for([0, 0, 1, 1, 1, 0]), NAMES)
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert figures["mean_class_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    # F1 = 2 tp / (2 tp + fp + fn): anger 4/6, happiness 4/5, sadness 0.
    assert figures["macro_f1"] == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)
    assert figures["confusion_matrix"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert figures["labels"] == list(NAMES)
    assert figures["num_examples"] == 6
    assert figures["per_class"]["anger"] == {
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "num_examples": 3,
    }
    assert figures["per_class"]["sadness"] == {"precision": None, "recall": 0.0, "num_examples": 1}
    log_sum = np.log(np.exp(2.0) + 2.0)
    assert figures["cross_entropy"] == pytest.approx(((log_sum - 2.0) * 4 + log_sum * 2) / 6)


def test_agrees_with_scikit_learn_on_random_answers():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 500)
    logits = generator.normal(size=(500, 7))
    names = [f"class {index}" for index in range(7)]
    figures = recognition_metrics(labels, logits, names)
    answers = logits.argmax(axis=1)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    balanced = sklearn_metrics.balanced_accuracy_score(labels, answers)
    assert figures["mean_class_accuracy"] == pytest.approx(balanced)
    assert figures["macro_f1"] == pytest.approx(
        sklearn_metrics.f1_score(labels, answers, average="macro")
    )
    assert figures["cross_entropy"] == pytest.approx(
        sklearn_metrics.log_loss(labels, probabilities)
    )


def test_an_absent_class_counts_in_no_mean_and_gives_no_nan():
    labels = np.array([0, 0, 1, 1])
    figures = recognition_metrics(labels, logits_for([0, 2, 1, 1]), NAMES)
    assert figures["mean_class_accuracy"] == pytest.approx((0.5 + 1) / 2)
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert figures["per_class"]["sadness"] == {"precision": 0.0, "recall": None, "num_examples": 0}
    json.dumps(figures, allow_nan=False)


def test_a_class_that_is_absent_and_never_answered():
    figures = recognition_metrics(np.array([0]), logits_for([0]), NAMES)
    assert figures["accuracy"] == figures["mean_class_accuracy"] == figures["macro_f1"] == 1.0
    assert figures["per_class"]["happiness"]["precision"] is None
    json.dumps(figures, allow_nan=False)


def test_large_logits_stay_finite():
    figures = recognition_metrics(np.array([0, 1]), np.array([[1e4, 0.0], [1e4, 0.0]]), ["a", "b"])
    assert figures["cross_entropy"] == pytest.approx(5e3)


def test_calibration_of_a_hand_made_case():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    bins = calibration_bins(np.array([0, 0, 1, 1]), probabilities)
    assert bins == [
        {"confidence": pytest.approx(0.6), "accuracy": 0.0, "num_examples": 2},
        {"confidence": pytest.approx(0.9), "accuracy": 1.0, "num_examples": 2},
    ]
    # Confidence 0.9 is right always, 0.6 never: (2 * 0.1 + 2 * 0.6) / 4.
    assert expected_calibration_error(bins) == pytest.approx(0.35)


def test_a_figure_at_or_near_chance_is_marked():
    labels = np.array([0] * 60 + [1] * 40)
    figures = recognition_metrics(labels, np.eye(3)[labels], NAMES)
    assert chance_warning(figures) is None
    worse = recognition_metrics(labels, np.eye(3)[(labels + 1) % 3], NAMES)
    assert chance_warning(worse).startswith("0.000 is no better than always answering “anger” (0.6")
    near = figures | {"accuracy": 0.65, "accuracy_interval": {"low": 0.58, "high": 0.72}}
    assert "label order" in chance_warning(near)
    assert chance_warning(near | {"accuracy_interval": {"low": 0.61, "high": 0.7}}) is None


def test_pooled_interval_takes_all_folds_as_one_set():
    labels = np.arange(90) % 3
    correct = np.random.default_rng(0).random(90) < 0.7
    subjects = np.repeat(np.arange(9), 10).astype(str)
    folds = {}
    for fold in range(3):
        rows = slice(30 * fold, 30 * fold + 30)
        answers = np.where(correct, labels, (labels + 1) % 3)
        figures = recognition_metrics(labels[rows], logits_for(answers[rows]), NAMES)
        counts = subject_counts(correct[rows], subjects[rows])
        folds[f"fold_{fold}"] = {"classifier": figures | {"per_subject": counts}}
    pooled = cross_validation_summary(folds)["classifier"]["pooled"]
    low, high = accuracy_interval(correct, subjects)
    assert (pooled["accuracy_interval"]["low"], pooled["accuracy_interval"]["high"]) == (low, high)
    assert pooled["accuracy_interval"]["num_units"] == 9
    assert pooled["per_subject"] == subject_counts(correct, subjects)


@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        (np.array([0, 3]), np.zeros((2, 3)), "0 to 3"),
        (np.array([-1]), np.zeros((1, 3)), "-1"),
        (np.array([0]), np.zeros((1, 2)), r"\(1, 2\)"),
        (np.array([], dtype=int), np.zeros((0, 3)), "no example"),
        (np.array([0.0]), np.zeros((1, 3)), "integers"),
        (np.array([0, 1]), np.array([[0.0, np.nan, 0], [0, 0, 0]]), "1 of 2"),
    ],
)
def test_wrong_input_is_named(labels, logits, message):
    with pytest.raises(ValueError, match=message):
        recognition_metrics(labels, logits, NAMES)


def test_cross_validation_pools_the_confusion_matrices():
    first = recognition_metrics(np.array([0, 0, 1, 1]), logits_for([0, 0, 1, 1]), NAMES)
    second = recognition_metrics(np.array([0, 2]), logits_for([1, 1]), NAMES)
    summary = cross_validation_summary(
        {"fold_0": {"classifier": first, "seed": 0}, "fold_1": {"classifier": second, "seed": 0}}
    )
    assert summary["folds"] == ["fold_0", "fold_1"]
    accuracy = summary["classifier"]["accuracy"]
    assert accuracy["per_fold"] == [1.0, 0.0]
    assert accuracy["mean"] == 0.5
    assert accuracy["standard_deviation"] == pytest.approx(np.sqrt(0.5))
    assert accuracy["pooled"] == pytest.approx(4 / 6)
    together = recognition_metrics(
        np.array([0, 0, 1, 1, 0, 2]), logits_for([0, 0, 1, 1, 1, 1]), NAMES
    )
    for name, value in summary["classifier"]["pooled"].items():
        assert value == together[name]
    json.dumps(summary, allow_nan=False)


def test_cross_validation_refuses_other_labels():
    first = recognition_metrics(np.array([0]), logits_for([0]), NAMES)
    second = recognition_metrics(np.array([0]), logits_for([0]), NAMES[::-1])
    with pytest.raises(ValueError, match="labels of classifier"):
        cross_validation_summary({"a": {"classifier": first}, "b": {"classifier": second}})


def test_the_pooled_figures_say_what_was_left_out_and_who_was_known():
    figures = recognition_metrics(np.array([0, 1]), logits_for([0, 1]), NAMES)
    left_out = {"model": ["contempt"], "dataset": []}
    known = {"left_out": left_out, "holds_training_images": True, "num_training_images": 2}
    folds = {
        "fold_0": {"classifier": figures | {"left_out": left_out}},
        "fold_1": {"classifier": figures | known},
    }
    pooled = cross_validation_summary(folds)["classifier"]["pooled"]
    assert {name: pooled[name] for name in known} == known
    assert remarks({"classifier": pooled}, {})[1:3] == [
        "warning: 2 of the 4 images show people or pictures that the run was trained or chosen on",
        "left out, classes of the model alone: contempt",
    ]

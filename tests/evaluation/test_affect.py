"""Figures of valence and arousal against values computed by hand and other libraries."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import root_mean_squared_error

from tdgan_jax.evaluation.affect import affect_figures, batch_figures, concordance
from tdgan_jax.evaluation.intervals import bootstrap_ratio, resampled_sums

# The example of the specification of Emotion-GCN (section 9.1).
ANSWERS = np.array([(0.1, 0.2), (0.5, -0.3), (-0.4, 0.8), (0.9, 0.1)])
LABELS = np.array([(0.2, 0.1), (0.4, -0.5), (-0.6, 0.7), (0.7, 0.3)])


def drawn(num_examples: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.uniform(-1, 1, (num_examples, 2))
    return labels, np.clip(0.6 * labels + 0.1 + random.normal(0, 0.2, labels.shape), -1, 1)


def test_figures_by_hand():
    labels = np.array([(-0.5, 0.5), (0.5, 0.5), (0.0, -0.5), (1.0, np.nan)])
    answers = np.array([(-0.5, 0.25), (0.0, -0.25), (0.25, -0.5), (0.75, 1.0)])
    figures = affect_figures(labels, answers)
    valence, arousal = figures["valence"], figures["arousal"]
    # Means 0.25 and 0.125; variances 0.3125 and 0.203125; covariance 0.25 - 0.03125.
    assert valence["ccc"] == pytest.approx(2 * 0.21875 / (0.3125 + 0.203125 + 0.015625))
    assert valence["pearson"] == pytest.approx(0.21875 / (0.3125 * 0.203125) ** 0.5)
    assert valence["rmse"] == pytest.approx((0.375 / 4) ** 0.5)
    # 0 agrees with neither sign: of -0.5, 0.5 against 0, 0 against 0.25 and 1 two agree.
    assert valence["sign_agreement"] == 0.5
    assert (valence["num_examples"], arousal["num_examples"]) == (4, 3)
    assert arousal["rmse"] == pytest.approx((0.625 / 3) ** 0.5)
    assert arousal["sign_agreement"] == pytest.approx(2 / 3)
    json.dumps(figures, allow_nan=False)


def test_figures_are_those_of_other_libraries():
    labels, answers = drawn()
    for column, figures in enumerate(affect_figures(labels, answers).values()):
        x, y = labels[:, column], answers[:, column]
        pearson = stats.pearsonr(x, y).statistic
        assert figures["pearson"] == pytest.approx(pearson, rel=1e-9)
        assert figures["rmse"] == pytest.approx(root_mean_squared_error(x, y), rel=1e-9)
        # Pearson's coefficient times the bias factor of Lin's definition.
        scale, shift = x.std() / y.std(), (x.mean() - y.mean()) ** 2 / (x.std() * y.std())
        assert figures["ccc"] == pytest.approx(pearson * 2 / (scale + 1 / scale + shift), rel=1e-9)
        assert figures["ccc"] == pytest.approx(concordance(x, y), rel=1e-9)


def test_perfect_and_opposite_answers():
    labels, _ = drawn()
    for sign, expected in ((1, 1.0), (-1, -1.0)):
        labels -= labels.mean(axis=0)
        for figures in affect_figures(labels, sign * labels).values():
            assert figures["ccc"] == pytest.approx(expected)
            assert figures["pearson"] == pytest.approx(expected)
            assert figures["sign_agreement"] == (sign + 1) / 2
    assert affect_figures(labels, labels)["valence"]["rmse"] == 0


def test_what_is_not_defined_is_none():
    same = np.full((5, 2), 0.1)
    nothing = np.full((5, 2), np.nan)
    for figures in affect_figures(same, same).values():
        assert (figures["ccc"], figures["pearson"]) == (None, None)
        assert (figures["rmse"], figures["sign_agreement"], figures["num_examples"]) == (0, 1, 5)
        assert figures["ccc_interval"] is None
    for figures in affect_figures(nothing, same).values():
        assert figures.pop("num_examples") == 0
        assert set(figures.values()) == {None}
    # A constant answer is no agreement, but it has an error.
    labels, _ = drawn()
    for figures in affect_figures(labels, np.zeros_like(labels)).values():
        assert figures["ccc"] == pytest.approx(0, abs=1e-9) and figures["pearson"] is None
    one = affect_figures(labels[:1], labels[:1] + 0.1)["valence"]
    assert one["rmse"] == pytest.approx(0.1) and one["rmse_interval"] is None
    json.dumps(affect_figures(nothing, same), allow_nan=False)


def test_unknown_labels_are_left_out():
    labels, answers = drawn()
    kept = np.arange(len(labels)) % 3 > 0
    partly = labels.copy()
    partly[~kept, 0] = np.nan
    figures = affect_figures(partly, answers)
    assert figures["valence"] == affect_figures(labels[kept], answers[kept])["valence"]
    assert figures["arousal"] == affect_figures(labels, answers)["arousal"]


def test_the_interval_of_independent_examples_is_that_of_fisher():
    random = np.random.default_rng(1)
    both = random.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], 400) / 10
    labels, answers = np.stack([both[:, 0]] * 2, axis=1), np.stack([both[:, 1]] * 2, axis=1)
    figures = affect_figures(labels, answers)["valence"]
    expected = stats.pearsonr(both[:, 0], both[:, 1]).confidence_interval(0.95)
    found = figures["pearson_interval"]
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected), abs=0.02)
    assert (found["unit"], found["num_units"], found["confidence"]) == ("image", 400, 0.95)
    for name in ("ccc", "rmse", "sign_agreement"):
        interval = figures[f"{name}_interval"]
        assert interval["low"] < figures[name] < interval["high"]


def test_images_of_one_subject_are_drawn_together():
    labels, answers = (np.repeat(array, 20, axis=0) for array in drawn(40))
    subjects = np.repeat([f"S{index:02d}" for index in range(40)], 20)
    by_subject = affect_figures(labels, answers, subjects, unit="subject")["valence"]
    by_image = affect_figures(labels, answers)["valence"]
    assert by_subject["ccc"] == pytest.approx(by_image["ccc"])

    def width(figures) -> float:
        return figures["ccc_interval"]["high"] - figures["ccc_interval"]["low"]

    # As uncertain as 40 images, not as 800.
    assert width(by_subject) > 3 * width(by_image)
    assert width(by_subject) == pytest.approx(width(affect_figures(*drawn(40))["valence"]))
    assert by_subject["ccc_interval"]["unit"] == "subject"
    assert by_subject["ccc_interval"]["num_units"] == 40
    alone = affect_figures(labels, answers, np.zeros(800), unit="subject")["arousal"]
    assert alone["ccc_interval"] is None and alone["ccc"] is not None


def test_resampled_sums_are_those_of_the_bootstrap():
    random = np.random.default_rng(0)
    above, below = random.uniform(0, 1, 60), random.uniform(1, 2, 60)
    sums = resampled_sums(np.stack([above, below], axis=1))
    found = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    np.testing.assert_allclose(found, bootstrap_ratio(above, below), atol=0.01)
    # Each draws as many groups as there are.
    np.testing.assert_array_equal(resampled_sums(np.ones((7, 1))), 7)


def test_the_concordance_of_a_batch_is_that_of_the_program():
    values = [concordance(LABELS[:, i], ANSWERS[:, i], variance_ddof=1) for i in (0, 1)]
    assert 1 - sum(values) / 2 == pytest.approx(0.294447159, abs=1e-9)
    perfect = [concordance(LABELS[:, i], LABELS[:, i], variance_ddof=1) for i in (0, 1)]
    assert 1 - sum(perfect) / 2 == pytest.approx(0.25)
    assert np.isnan(concordance(LABELS[:1, 0], ANSWERS[:1, 0], variance_ddof=1))
    assert np.isnan(concordance(np.zeros(4), np.zeros(4), variance_ddof=1))


def test_batches_have_a_largest_value():
    labels, answers = drawn(21)
    perfect = batch_figures(labels, labels, 5)
    # Four batches of five; the last example has no variance.
    assert perfect["valence"]["num_batches"] == 4
    assert perfect["valence"]["batch_ccc"] == pytest.approx(0.8)
    assert perfect["valence"]["largest_batch_ccc"] == pytest.approx(0.8)
    found = batch_figures(labels, answers, 7)["arousal"]
    parts = [
        concordance(labels[i : i + 7, 1], answers[i : i + 7, 1], variance_ddof=1)
        for i in (0, 7, 14)
    ]
    assert found["batch_ccc"] == pytest.approx(np.mean(parts))
    assert found["largest_batch_ccc"] == pytest.approx(6 / 7)
    partly = labels.copy()
    partly[:14, 0] = np.nan
    alone = batch_figures(labels[14:], answers[14:], 7)["valence"]
    assert batch_figures(partly, answers, 7)["valence"] == alone
    nothing = batch_figures(np.full((4, 2), np.nan), np.zeros((4, 2)), 2)["valence"]
    assert nothing == {"batch_ccc": None, "largest_batch_ccc": None, "num_batches": 0}


@pytest.mark.parametrize(
    ("labels", "answers", "groups", "message"),
    [
        (np.zeros((3, 3)), np.zeros((3, 3)), None, r"must be \[N, 2\]"),
        (np.zeros((3, 2)), np.zeros((4, 2)), None, r"labels \(3, 2\) and answers \(4, 2\)"),
        (np.zeros((3, 2)), np.zeros((3, 2)), np.zeros(4), "3 examples and groups of shape"),
        (np.full((3, 2), np.inf), np.zeros((3, 2)), None, "a label is infinite"),
        (np.zeros((3, 2)), np.full((3, 2), np.nan), None, "an answer is not finite"),
    ],
)
def test_what_does_not_fit_is_refused(labels, answers, groups, message):
    with pytest.raises(ValueError, match=message):
        affect_figures(labels, answers, groups)

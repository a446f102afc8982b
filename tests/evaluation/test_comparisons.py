import numpy as np
import pytest
from scipy import stats

from tdgan_jax.evaluation.comparisons import (
    fold_test_over_train,
    paired_difference,
    subject_difference,
)


def test_pairs_share_what_is_hard():
    # Folds differ by 0.4, the two configurations by 0.02: only the pairs show it.
    first = {"fold_0": 0.5, "fold_1": 0.7, "fold_2": 0.9, "fold_3": 0.1}
    second = {"fold_0": 0.52, "fold_1": 0.73, "fold_2": 0.91, "fold_4": 0.9}
    found = paired_difference(first, second, unit="fold")
    assert found is not None and found.num_pairs == 3 and found.unit == "fold"
    assert found.mean == pytest.approx(0.02)
    differences = [0.02, 0.03, 0.01]
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.standard_deviation == pytest.approx(np.std(differences, ddof=1))


def test_folds_that_share_training_images_are_less_sure():
    first = {"fold_0": 0.5, "fold_1": 0.7, "fold_2": 0.9}
    second = {"fold_0": 0.52, "fold_1": 0.73, "fold_2": 0.91}
    nine_of_ten = fold_test_over_train({"num_folds": 10, "validation": "none"})
    found = paired_difference(first, second, unit="fold", test_over_train=nine_of_ten)
    # s = 0.01, J = 3: 4.3027 (t of 2 degrees) * 0.01 * sqrt(1/3 + 1/9) = 4.3027 * 0.01 * 2/3.
    assert found is not None and found.high == pytest.approx(0.02 + 0.028684, abs=1e-6)
    assert found.low == pytest.approx(0.02 - 0.028684, abs=1e-6)


def test_the_correction_counts_what_a_fold_trains_on():
    assert fold_test_over_train({"num_folds": 10, "validation": "none"}) == pytest.approx(1 / 9)
    assert fold_test_over_train({"num_folds": 10, "validation": "next_fold"}) == 1 / 8
    held_out = {"num_folds": 5, "validation": "subjects", "validation_fraction": 0.25}
    assert fold_test_over_train(held_out) == pytest.approx(1 / 3)
    assert fold_test_over_train({"num_folds": 0}) == fold_test_over_train({}) == 0


def test_one_pair_has_no_interval_and_none_no_difference():
    found = paired_difference({"0": 0.5}, {"0": 0.75, "1": 0.1}, unit="seed")
    assert found is not None and (found.mean, found.low) == (0.25, None)
    assert paired_difference({"0": 0.5}, {"1": 0.5}, unit="seed") is None


def test_models_are_compared_on_the_same_people():
    rng = np.random.default_rng(0)
    right = rng.integers(2, 18, size=12)
    first = {f"S{index}": [int(count), 20] for index, count in enumerate(right)}
    second = {name: [count + 1, total] for name, (count, total) in first.items()}
    found = subject_difference(first, second)
    # One more of twenty with everybody: no doubt, however different the people are.
    assert found is not None and found.num_pairs == 12
    assert (found.mean, found.low, found.high) == pytest.approx((0.05, 0.05, 0.05))
    assert subject_difference(first, {"S0": [1, 20]}) is None
    assert subject_difference(first, {name: [1, 10] for name in first}) is None

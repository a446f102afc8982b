import numpy as np
import pytest
from scipy.stats import binom

from tdgan_jax.evaluation.intervals import accuracy_interval, interval_fields, subject_counts


def test_independent_examples_give_the_binomial_interval():
    correct = np.arange(400) % 10 < 7
    low, high = accuracy_interval(correct, np.arange(400))
    expected = binom.ppf([0.025, 0.975], 400, 0.7) / 400
    assert (low, high) == pytest.approx(tuple(expected), abs=0.01)


def test_examples_of_one_subject_are_drawn_together():
    correct = np.repeat([True, False], [200, 200])
    by_subject = accuracy_interval(correct, np.repeat(np.arange(8), 50))
    by_example = accuracy_interval(correct, np.arange(400))
    # Eight subjects, each wholly right or wrong: as uncertain as eight examples, not as 400.
    assert by_subject[0] == pytest.approx(1 / 8, abs=0.13)
    assert by_subject[1] - by_subject[0] > 5 * (by_example[1] - by_example[0])


def test_the_names_and_the_order_of_groups_do_not_matter():
    rng = np.random.default_rng(0)
    correct, groups = rng.random(90) < 0.6, rng.integers(9, size=90)
    renamed = np.array([f"S{group:02d}" for group in groups])
    assert accuracy_interval(correct, groups) == accuracy_interval(correct, renamed)


def test_a_single_subject_has_no_interval():
    assert accuracy_interval(np.array([True, False, True, True]), np.zeros(4)) == (0.75, 0.75)


def test_the_fields_of_the_result():
    correct, subjects = np.arange(40) % 4 > 0, np.repeat(["ben", "anna", "carla", "dan"], 10)
    fields = interval_fields(correct, subjects, unit="subject")
    assert fields is not None
    assert (fields["low"], fields["high"]) == accuracy_interval(correct, subjects)
    assert fields["num_units"] == 4 and fields["unit"] == "subject"
    assert interval_fields(correct[:10], subjects[:10], unit="subject") is None
    assert subject_counts(correct[:20], subjects[:20]) == {"anna": [8, 10], "ben": [7, 10]}

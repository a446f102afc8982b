"""Answers with some classes left out."""

import numpy as np

from tdgan_jax.families.recogniser import of_classes
from tdgan_jax.steps.state import Answers


def test_probabilities_of_the_classes_that_stay_sum_to_one():
    scores = np.array([[1.0, 2, 3], [3, 2, 1]])
    probabilities = np.array([[0.2, 0.2, 0.6], [0.5, 0.25, 0.25]])
    left = of_classes(Answers(scores, probabilities), [0, 1])
    np.testing.assert_array_equal(left.scores, scores[:, :2])
    np.testing.assert_allclose(left.probabilities, [[0.5, 0.5], [2 / 3, 1 / 3]])
    assert of_classes(Answers(scores), [0, 2]).probabilities is None


def test_an_ensemble_that_votes_for_a_class_that_was_left_out_is_undecided():
    answers = Answers(np.array([[0.0, 0, 9]]), np.array([[0.0, 0, 1]]))
    np.testing.assert_array_equal(of_classes(answers, [0, 1]).probabilities, [[0.5, 0.5]])

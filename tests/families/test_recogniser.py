"""Answers with some classes left out, and with rare classes answered more often."""

import numpy as np
import pytest

from tdgan_jax.errors import UsageError
from tdgan_jax.families.recogniser import Recogniser, of_classes
from tdgan_jax.families.stored import ModelDescription, Preprocessing
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


def fixed_answers(**described) -> Recogniser:
    """A model that gives three classes the probabilities 0.6, 0.3 and 0.1 at its temperature."""
    temperature = described.get("temperature", 1.0)
    scores = temperature * np.log(np.array([[0.6, 0.3, 0.1]], np.float32))
    description = ModelDescription(
        "classifier", {}, ("a", "b", "c"), 0, None, Preprocessing(4, 1, "resize"), **described
    )
    return Recogniser(description, lambda images: Answers(np.repeat(scores, len(images), axis=0)))


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_a_balance_divides_by_powers_of_the_frequencies(temperature):
    frequencies = (0.8, 0.15, 0.05)
    model = fixed_answers(temperature=temperature, class_frequencies=frequencies)
    face = np.zeros((1, 4, 4, 1), np.float32)
    for balance, answer in ((0.0, "a"), (0.25, "a"), (0.75, "b")):
        labels, probabilities = model.balanced(balance).predict(face)
        expected = np.array([0.6, 0.3, 0.1]) / np.array(frequencies) ** balance
        np.testing.assert_allclose(probabilities[0], expected / expected.sum(), rtol=1e-5)
        assert labels == [answer] and probabilities.dtype == np.float32
    assert model.predict(face)[0] == ["a"]
    raw = model.balanced(1.0).expression_logits(face)
    np.testing.assert_array_equal(raw, model.expression_logits(face))
    left = model.balanced(1.0).without("b")
    expected = np.array([0.6 / 0.8, 0.1 / 0.05])
    np.testing.assert_allclose(left.predict(face)[1][0], expected / expected.sum(), rtol=1e-5)
    np.testing.assert_array_equal(
        left.predict(face)[1], model.without("b").balanced(1.0).predict(face)[1]
    )


def test_what_cannot_be_balanced_is_said():
    with pytest.raises(UsageError, match="export --calibrate measures it"):
        fixed_answers().balanced(0.5)
    with pytest.raises(UsageError, match="from 0 to 1, got 2"):
        fixed_answers(class_frequencies=(0.5, 0.3, 0.2)).balanced(2)

from types import SimpleNamespace

import numpy as np
import pytest

from tdgan_jax.data.builders import open_dataset
from tdgan_jax.data.examples import load_examples
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.evaluation.calibration import (
    calibration_of,
    fitted_temperature,
    part_of_dataset,
)
from tdgan_jax.steps.state import Answers

PART = "synthetic_faces/64:test[:60]"


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_factor_of_scores_is_found_again(factor):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20000, 5)) * 2
    noise = generator.gumbel(size=logits.shape)
    labels = (logits + noise).argmax(axis=1)  # drawn from the softmax of the logits
    assert fitted_temperature(labels, logits * factor) == pytest.approx(factor, rel=0.03)


def test_nothing_to_fit_is_refused():
    with pytest.raises(ValueError, match="needs examples"):
        fitted_temperature(np.zeros(0, int), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="finite scores"):
        fitted_temperature(np.zeros(1, int), np.full((1, 3), np.nan))


class Surprised:
    """Answers surprise with a probability, whatever it is shown; its classes have another order."""

    image_channels = 1
    description = SimpleNamespace(temperature=1.0, balance=0.0)

    def __init__(self, names, shares=False):
        self.expression_names = names
        self.shares = shares

    def recognise(self, images):
        scores = np.zeros((len(images), len(self.expression_names)))
        scores[:, self.expression_names.index("surprise")] = 2.0
        odds = np.exp(scores)
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        return Answers(
            scores, np.eye(len(scores[0]))[scores.argmax(1)] if self.shares else probabilities
        )


def test_the_labels_of_a_dataset_are_matched_by_name(drawn_datasets):
    names = ("contempt", "neutral", "surprise", "fear", "disgust", "happiness", "sadness", "anger")
    builder = open_dataset("synthetic_faces", "64", str(drawn_datasets))
    examples = load_examples(builder, "test[:60]", np.asarray)
    labels = np.array([names.index(examples.expression_names[i]) for i in examples.expressions])
    scores = Surprised(names).recognise(labels).scores
    found = calibration_of(Surprised(names), part_of_dataset(PART, data_dir=str(drawn_datasets)))
    assert found.temperature == pytest.approx(fitted_temperature(labels, scores))
    odds = np.exp(scores[0] / found.temperature)
    np.testing.assert_allclose(found.class_frequencies, odds / odds.sum(), rtol=1e-6)


def test_what_cannot_be_calibrated_is_said(drawn_datasets):
    names = ("surprise", "fear")
    part = part_of_dataset(PART, data_dir=str(drawn_datasets))
    with pytest.raises(UsageError, match="give NAME"):
        part_of_dataset("synthetic_faces/64")
    with pytest.raises(UserError, match="no label that the model knows"):
        calibration_of(Surprised(("contempt", "other")), part)
    with pytest.raises(UserError, match="no temperature changes them"):
        calibration_of(Surprised(names, shares=True), part)

"""What a model's probabilities need: a temperature, and how frequent its answers are."""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from tdgan_jax.data.builders import open_dataset
from tdgan_jax.data.examples import Examples, load_examples, renumbered, with_expression
from tdgan_jax.data.images import to_pil
from tdgan_jax.errors import UsageError, UserError

RANGE = (0.05, 20.0)
AT_ONCE = 512  # images


class Calibration(NamedTuple):
    """What is measured on images that a model has not learned from.

    Attributes:
        temperature: See `fitted_temperature`.
        class_frequencies: Mean probability of each class at that temperature, that of half an
            image at least; they sum to 1.
    """

    temperature: float
    class_frequencies: tuple[float, ...]


def part_of_dataset(dataset: str, *, data_dir: str = "") -> Examples:
    """The examples of a part of a prepared dataset, their images as they are stored.

    Args:
        dataset: `NAME[/CONFIG]:SPLIT`.
        data_dir: Where prepared datasets are kept; TFDS's default if empty.

    Raises:
        UsageError: If the part is named in another way.
        UserError: If it is not prepared.
    """
    source, colon, split = dataset.partition(":")
    if not (source and colon and split):
        raise UsageError(f"--calibrate is {dataset!r}; give NAME[/CONFIG]:SPLIT")
    name, _, config = source.partition("/")
    builder = open_dataset(name, config or None, data_dir or None)
    return load_examples(builder, split, np.asarray)


def calibration_of(model: Any, examples: Examples) -> Calibration:
    """Fits a model's probabilities to labels.

    Classes that the examples do not have keep their place among the answers.

    Args:
        model: A trained model, as `tdgan_jax.load` gives it.
        examples: Those that the model has not learned from.

    Raises:
        UserError: If no label is known to the model, or its probabilities are no softmax, such as
            shares of votes.
    """
    if model.description.balance:
        model = model.balanced(0.0)
    examples = renumbered(examples, model.expression_names)
    if (examples.expressions < 0).all():
        raise UserError("the images for the calibration have no label that the model knows")
    examples = with_expression(examples)
    count, channels = len(examples.files), model.image_channels
    answers = [
        model.recognise([to_pil(examples.images[i], channels) for i in part])
        for part in np.array_split(np.arange(count), -(-count // AT_ONCE))
    ]
    scores = np.concatenate([answer.scores for answer in answers])
    probabilities = np.concatenate([answer.probabilities for answer in answers])
    expected = softmax(scores / model.description.temperature, axis=1)
    if not np.allclose(expected, probabilities, atol=1e-3):
        raise UserError("the model's probabilities are no softmax: no temperature changes them")
    temperature = fitted_temperature(examples.expressions, scores)
    means = softmax(scores.astype(np.float64) / temperature, axis=1).mean(axis=0)
    means = np.maximum(means, 0.5 / count)
    return Calibration(temperature, tuple(map(float, means / means.sum())))


def fitted_temperature(labels: np.ndarray, scores: np.ndarray) -> float:
    """The temperature of least mean cross-entropy (Guo et al., ICML 2017, section 4.2).

    Args:
        labels: True classes, integers [N] in 0 .. C-1.
        scores: Logits, float [N, C].

    Returns:
        What logits are divided by before the softmax, in `RANGE`.

    Raises:
        ValueError: If there is no example, or a score is not finite.
    """
    scores = np.asarray(scores, np.float64)
    if not len(labels) or not np.isfinite(scores).all():
        raise ValueError("a temperature needs examples with finite scores")
    rows = np.arange(len(labels))

    def cross_entropy(logarithm: float) -> float:
        return -log_softmax(scores / np.exp(logarithm), axis=1)[rows, labels].mean()

    found = minimize_scalar(cross_entropy, bounds=np.log(RANGE), method="bounded")
    return float(np.exp(found.x))

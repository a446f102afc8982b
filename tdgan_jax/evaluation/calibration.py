"""One number that makes probabilities as large as the answers are right."""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from tdgan_jax.data.builders import open_dataset
from tdgan_jax.data.examples import load_examples, renumbered, with_expression
from tdgan_jax.data.images import to_pil
from tdgan_jax.errors import UsageError, UserError

RANGE = (0.05, 20.0)
AT_ONCE = 512  # images


def temperature_of(model: Any, dataset: str, *, data_dir: str = "") -> float:
    """The temperature that fits a model's probabilities to the labels of a dataset's part.

    Classes that the dataset does not have keep their place among the answers.

    Args:
        model: A trained model, as `tdgan_jax.load` gives it.
        dataset: `NAME[/CONFIG]:SPLIT` of a prepared dataset; a part that the model has not
            learned from.
        data_dir: Where prepared datasets are kept; TFDS's default if empty.

    Returns:
        See `fitted_temperature`.

    Raises:
        UsageError: If the part is named in another way.
        UserError: If it is not prepared, or has no label that the model knows, or the model
            has probabilities that are no softmax, such as shares of votes.
    """
    source, colon, split = dataset.partition(":")
    if not (source and colon and split):
        raise UsageError(f"--calibrate is {dataset!r}; give NAME[/CONFIG]:SPLIT")
    name, _, config = source.partition("/")
    builder = open_dataset(name, config or None, data_dir or None)
    loaded = load_examples(builder, split, np.asarray)
    examples = renumbered(loaded, model.expression_names)
    if (examples.expressions < 0).all():
        raise UserError(f"{dataset} has no label that the model knows")
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
    return fitted_temperature(examples.expressions, scores)


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

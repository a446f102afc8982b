"""What IF-GAN's classifier goes by: the input or the generated average face.

In training the true average face reveals the label, so the classifier may come to ignore one half
of its pair. Here one half at a time is given to it from another image of the test.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tdgan_jax.data.examples import Examples
from tdgan_jax.data.feeds import evaluation_batches
from tdgan_jax.errors import UserError
from tdgan_jax.families.ifgan.networks import Definitions, split_networks
from tdgan_jax.families.ifgan.objective import to_symmetric_range
from tdgan_jax.families.ifgan.step import draw_average_faces
from tdgan_jax.families.ifgan.training import ifgan_networks

SHUFFLE_SEED = 0
BATCH_SIZE = 50


def tuple_accuracies(
    config: Any, parameters: dict[str, Any], examples: Examples
) -> dict[str, float]:
    """Accuracies with whole and with mixed pairs.

    Args:
        config: An IF-GAN configuration with a generator.
        parameters: Network name to tree.
        examples: Test images as the model sees them.

    Returns:
        `own_pairs`, `input_shuffled` and `generated_shuffled`; a half without influence leaves the
        accuracy as it is, one that decides alone brings it to the share of the commonest class.

    Raises:
        UserError: If the run has no generator.
    """
    if "generator" not in parameters:
        raise UserError("the run is a baseline: its classifier sees no pairs")
    shapes = nnx.eval_shape(
        lambda: ifgan_networks(
            config, num_expressions=len(examples.expression_names), rngs=nnx.Rngs(0)
        )
    )
    definitions, _ = split_networks(shapes)
    images = np.concatenate(
        [batch[:count] for batch, count in evaluation_batches(examples, BATCH_SIZE)]
    )
    drawn = _in_batches(partial(_draw, definitions, parameters), images)
    order = np.random.default_rng(SHUFFLE_SEED).permutation(len(images))
    pairs = {
        "own_pairs": (images, drawn),
        "input_shuffled": (images[order], drawn),
        "generated_shuffled": (images, drawn[order]),
    }
    classify = partial(_classify, definitions, parameters)
    return {
        name: float(np.mean(_in_batches(classify, *halves).argmax(axis=1) == examples.expressions))
        for name, halves in pairs.items()
    }


@partial(jax.jit, static_argnums=0)
def _draw(networks: Definitions, parameters: dict[str, Any], images: jax.Array) -> jax.Array:
    return draw_average_faces(networks, parameters, to_symmetric_range(images))


@partial(jax.jit, static_argnums=0)
def _classify(
    networks: Definitions, parameters: dict[str, Any], images: jax.Array, drawn: jax.Array
) -> jax.Array:
    classifier = nnx.merge(networks.classifier, parameters["classifier"])
    return classifier(to_symmetric_range(images), drawn).logits


def _in_batches(function: Any, *arrays: np.ndarray) -> np.ndarray:
    """Applies a function to all rows; the last batch is filled up, so that one size is compiled."""
    count = len(arrays[0])
    parts = []
    for start in range(0, count, BATCH_SIZE):
        rows = [array[start : start + BATCH_SIZE] for array in arrays]
        missing = BATCH_SIZE - len(rows[0])
        filled = [np.concatenate([part, np.repeat(part[:1], missing, axis=0)]) for part in rows]
        parts.append(np.asarray(function(*map(jnp.asarray, filled)))[: len(rows[0])])
    return np.concatenate(parts)

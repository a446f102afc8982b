"""Running averages of weights, which are evaluated in the weights' place (Polyak averaging)."""

from typing import Any

import jax
import jax.numpy as jnp

Tree = Any


def first_averages(weights: Tree) -> Tree:
    """The averages before the first step: the weights, in buffers of their own.

    A step that donates both would else donate a buffer twice.
    """
    return jax.tree.map(jnp.copy, weights)


def moved_averages(
    averages: Tree, weights: Tree, *, decay: float | jax.Array, num_steps: int | jax.Array
) -> Tree:
    """The averages moved towards the weights; early steps forget their beginning sooner.

    The decay is at most `(1 + t) / (10 + t)` after t steps, so that the random initialisation does
    not stay in the average of a short training. Running statistics of batch norms that the trees
    hold are averaged like weights; of integers, such as counts, the present value counts.

    Args:
        averages: Averages before.
        weights: Weights after the step, a tree of the same structure.
        decay: Share of the old average in the new one, 0 to 1.
        num_steps: t, this step included.
    """
    steps = jnp.asarray(num_steps).astype(jnp.float32)
    share = jnp.minimum(decay, (1 + steps) / (10 + steps))

    def moved(average: jax.Array, weight: jax.Array) -> jax.Array:
        if not jnp.issubdtype(weight.dtype, jnp.floating):
            return jnp.copy(weight)
        return weight + share * (average - weight)

    return jax.tree.map(moved, averages, weights)

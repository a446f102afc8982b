"""An optimiser for tests: Adam that also keeps the raw gradient and the result of one SGD step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class Recorded(NamedTuple):
    adam: Any
    gradient: Any
    after_sgd: Any


def recording_optimizer(learning_rate: float) -> optax.GradientTransformation:
    adam = optax.adam(learning_rate)

    def init(parameters):
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        return Recorded(adam.init(parameters), zeros, zeros)

    def update(gradient, state, parameters):
        change, adam_state = adam.update(gradient, state.adam, parameters)
        after_sgd = jax.tree.map(lambda p, g: p - learning_rate * g, parameters, gradient)
        return change, Recorded(adam_state, gradient, after_sgd)

    return optax.GradientTransformation(init, update)

"""Optimisers that record the raw gradient, for tests: Adam would hide wrong factors of it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

# Plain gradient descent; its state is the gradient.
RECORDING_DESCENT = optax.GradientTransformation(
    init=lambda weights: jax.tree.map(jnp.zeros_like, weights),
    update=lambda gradient, state, weights: (jax.tree.map(lambda g: -1e-3 * g, gradient), gradient),
)


class Recorded(NamedTuple):
    adam: Any
    gradient: Any


def recording_adam(learning_rate: float) -> optax.GradientTransformation:
    adam = optax.adam(learning_rate)

    def init(parameters):
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        return Recorded(adam.init(parameters), zeros)

    def update(gradient, state, parameters):
        change, adam_state = adam.update(gradient, state.adam, parameters)
        return change, Recorded(adam_state, gradient)

    return optax.GradientTransformation(init, update)


ALL_DEVICE_COUNTS = [
    (num_devices, mapping) for mapping in ("shard_map", "pmap") for num_devices in (1, 2, 4, 8)
]


def assert_same_training(ours: list[tuple[Any, dict]], theirs: list[tuple[Any, dict]]) -> None:
    """Compares states, whose optimisers have recorded the gradients, and metrics step by step.

    What stays are float32 sums in another order: each value is compared relative to itself or to
    the largest one of its network, as gradients in front of a norm cancel almost to zero.
    """
    for step, ((state, metrics), (expected, expected_metrics)) in enumerate(
        zip(ours, theirs, strict=True)
    ):
        assert metrics.keys() == expected_metrics.keys()
        for name, value in expected_metrics.items():
            np.testing.assert_allclose(
                metrics[name], value, rtol=1e-3, atol=1e-5, err_msg=f"step {step}: {name}"
            )
        for name in expected.parameters:
            for part in ("optimizer_states", "parameters"):
                assert_close(
                    getattr(state, part)[name],
                    getattr(expected, part)[name],
                    f"step {step}: {part} of {name}",
                )


def assert_close(ours: Any, theirs: Any, name: str) -> None:
    """Two trees relative to each value, or to the largest one of the tree."""
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(theirs))
    for value, reference in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-3, atol=1e-4 * largest, err_msg=name)

"""The step on four fake devices equals the step on one, dropout and noise on."""

from functools import cache

import jax
import numpy as np
import pytest

from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.steps.parallel import (
    BATCH_AXIS,
    check_batch_size,
    make_mesh,
    parallel_train_step,
    replicate,
    shard_batch,
)
from tdgan_jax.steps.tdgan import Updates, train_step
from tdgan_jax.steps.tdgan_objective import draw_randomness
from tests.steps.test_tdgan import tiny_batch, tiny_setup

ALL = Updates(True, True, True)


@cache
def one_step(num_devices: int, mapping: str):
    setup, state = tiny_setup()
    setup = setup._replace(axis_name=BATCH_AXIS)
    mesh = make_mesh(jax.devices()[:num_devices])

    def step(state, batch, key):
        return train_step(setup, ALL, state, batch, draw_randomness(key, batch.position, (2, 2, 4)))

    # The step consumes its state; the original must survive.
    own = jax.tree.map(np.array, state)
    compiled = parallel_train_step(step, mesh, mapping=mapping)
    return jax.device_get(
        compiled(replicate(own, mesh), shard_batch(tiny_batch(), mesh), jax.random.key(1))
    )


@pytest.mark.parametrize("mapping", ["shard_map", "pmap"])
def test_four_devices_give_the_raw_gradients_losses_and_parameters_of_one(mapping):
    (expected, expected_metrics), (state, metrics) = one_step(1, "shard_map"), one_step(4, mapping)
    assert metrics.keys() == expected_metrics.keys()
    for name, value in expected_metrics.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)
    for name, recorded in expected.optimizer_states.items():
        for part in ("gradient", "after_sgd"):
            assert_close(getattr(state.optimizer_states[name], part), getattr(recorded, part), name)
        assert_adam_step_agrees(
            state.parameters[name], expected.parameters[name], recorded.gradient, name
        )


def assert_close(ours, theirs, name: str) -> None:
    """Float32 sums in another order: relative to each value, or to the network's largest one.

    Gradients in front of an instance norm cancel almost to zero, which leaves rounding alone.
    """
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(theirs))
    for value, reference in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-4, atol=1e-5 * largest, err_msg=name)


def assert_adam_step_agrees(ours, theirs, gradient, name: str) -> None:
    """Adam's first step is the sign of the gradient: compared where rounding does not decide it."""
    leaves = zip(*(jax.tree.leaves(tree) for tree in (ours, theirs, gradient)), strict=True)
    for value, reference, slope in leaves:
        clear = np.abs(slope) > 1e-3 * np.abs(slope).max()
        np.testing.assert_allclose(
            value[clear], reference[clear], rtol=1e-4, atol=1e-6, err_msg=f"{name} Adam"
        )


def test_pmap_equals_shard_map_on_one_device():
    (expected, _), (state, _) = one_step(1, "shard_map"), one_step(1, "pmap")
    for name in expected.parameters:
        assert_close(
            state.optimizer_states[name].gradient, expected.optimizer_states[name].gradient, name
        )


def test_a_batch_that_the_devices_do_not_divide_is_refused_with_both_numbers():
    with pytest.raises(UserError, match="batch of 6 cannot be divided among 4 devices"):
        check_batch_size(6, make_mesh())


def test_an_unknown_mapping_is_refused():
    with pytest.raises(UsageError, match="known: shard_map, pmap"):
        parallel_train_step(lambda *_: None, make_mesh(), mapping="xmap")

"""The steps on 1, 2, 4 and 8 fake devices give the same, dropout and noise on.

Compiling a step takes most of a test's time, so a number of devices is tried under one of the two
mappings by each system; with ALL_DEVICE_COUNTS=1 in the environment under both by both.
"""

import os
from functools import cache

import jax
import numpy as np
import pytest

from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.tdgan.objective import Batch, draw_randomness
from tdgan_jax.families.tdgan.step import Updates, train_step
from tdgan_jax.steps.parallel import (
    BATCH_AXIS,
    check_batch_size,
    compiler_options,
    make_mesh,
    parallel_train_step,
    replicate,
    shard_batch,
    use_cpu_devices,
)
from tdgan_jax.steps.state import TrainState, init_state
from tests.families.tdgan.test_step import tiny_setup
from tests.steps.recording import ALL_DEVICE_COUNTS, RECORDING_DESCENT, assert_same_training

STEPS = 5
LAYOUTS = [(2, "shard_map"), (4, "pmap"), (8, "shard_map")]
if os.environ.get("ALL_DEVICE_COUNTS"):
    LAYOUTS = ALL_DEVICE_COUNTS


def batch_of_eight() -> Batch:
    """The last example is padding."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2, 8, 32, 32, 1), dtype=np.uint8)
    return Batch(
        face_image=images[0],
        face_identity=np.array([0, 1, 2, 1, 0, 0, 2, 1], np.int32),
        expression_image=images[1],
        expression_label=np.array([0, 3, 6, 3, 1, 2, 4, 5], np.int32),
        weight=np.array([1, 1, 1, 1, 1, 1, 1, 0], np.float32) * 8 / 7,
        position=np.arange(8, dtype=np.int32),
    )


@cache
def trained(
    num_devices: int, mapping: str, precision: str = "float32"
) -> list[tuple[TrainState, dict]]:
    """State and metrics after each of five steps, all networks updated in each."""
    setup, state = tiny_setup(precision)
    optimizers = dict.fromkeys(setup.optimizers, RECORDING_DESCENT)
    setup = setup._replace(axis_name=BATCH_AXIS, optimizers=optimizers)
    mesh = make_mesh(jax.devices()[:num_devices])

    def step(state, batch, key):
        step_key = jax.random.fold_in(key, state.step)
        randomness = draw_randomness(step_key, batch.position, (2, 2, 4))
        return train_step(setup, Updates(True, True, True), state, batch, randomness)

    compiled = parallel_train_step(step, mesh, mapping=mapping)
    # The step consumes its state; the original must survive.
    state = replicate(jax.tree.map(np.array, init_state(state.parameters, optimizers)), mesh)
    batch, key = shard_batch(batch_of_eight(), mesh), jax.random.key(1)
    after = []
    for _ in range(STEPS):
        state, metrics = compiled(state, batch, key)
        after.append(jax.device_get((state, metrics)))
    return after


@pytest.mark.parametrize(("num_devices", "mapping"), LAYOUTS)
def test_devices_give_the_raw_gradients_losses_and_parameters_of_one(num_devices, mapping):
    expected = trained(1, "shard_map")
    assert_same_training(trained(num_devices, mapping), expected)
    # The draws differ from step to step, and the training moves.
    assert expected[0][1]["generator"] != expected[1][1]["generator"]


def test_in_bfloat16_the_losses_stay_near():
    exact, rounded = (trained(1, "shard_map", kind) for kind in ("float32", "bfloat16"))
    differences = {}
    for step, ((_, expected), (state, metrics)) in enumerate(zip(exact, rounded, strict=True)):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} == {"float32", "int32"}
        for name in (name for name in expected if not name.endswith("accuracy")):
            differences[step, name] = abs(float(metrics[name] / expected[name]) - 1)
    # Of the first step all losses; norms over maps of 2x2 pixels spread the rounding later on.
    limits = {(step, name): 0.08 for step, name in differences if step == 0 or name == "generator"}
    assert not {key: differences[key] for key, limit in limits.items() if differences[key] > limit}
    assert differences[0, "generator"] > 0


def test_a_batch_that_the_devices_do_not_divide_is_refused_with_both_numbers():
    with pytest.raises(UserError, match="batch of 6 cannot be divided among 8 devices"):
        check_batch_size(6, make_mesh())


def test_an_unknown_mapping_is_refused():
    with pytest.raises(UsageError, match="known: shard_map, pmap"):
        parallel_train_step(lambda *_: None, make_mesh(), mapping="xmap")


@pytest.mark.parametrize(
    ("cores", "num_devices", "keeps_ynnpack"),
    [({0}, 1, True), ({0, 3}, 1, False), ({0, 3}, 2, True)],
)
def test_ynnpack_stays_where_a_device_has_one_core(cores, num_devices, keeps_ynnpack, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: cores, raising=False)
    assert (compiler_options(num_devices) == {}) is keeps_ynnpack


@pytest.mark.parametrize(
    ("cores", "batch_size", "num_devices"),
    [(1, 16, 1), (2, 16, 2), (3, 16, 2), (4, 6, 3), (2, 5, 1), (8, 16, None)],
)
def test_the_cpu_has_a_device_for_each_core_that_shares_the_batch(
    cores, batch_size, num_devices, monkeypatch
):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.delenv("XLA_FLAGS")
    set_to = {}
    monkeypatch.setattr(jax.config, "update", set_to.__setitem__)
    use_cpu_devices(batch_size)
    assert set_to.get("jax_num_cpu_devices") == num_devices


def test_devices_that_were_asked_for_or_are_there_stay(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    set_to = {}
    with monkeypatch.context() as patch:
        patch.setattr(jax.config, "update", set_to.__setitem__)
        use_cpu_devices(2)  # XLA's flag asks for eight
    assert not set_to
    before = jax.devices()
    monkeypatch.delenv("XLA_FLAGS")
    use_cpu_devices(2)  # too late
    assert jax.devices() == before

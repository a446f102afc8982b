"""Steps of ESR beside those of its golden numbers: valence and arousal, rates, waiting branches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.data.image_feed import ImageBatch
from tdgan_jax.families.esr.training import esr_training, stage_setup
from tdgan_jax.families.family import Names
from tdgan_jax.losses import root_mean_square_error_loss
from tdgan_jax.steps.parallel import make_mesh, parallel_train_step

NAMES = Names((), tuple("abcdefg"))
CONFIG = "configs/esr_synthetic.py:tiny"


def tiny_batch() -> ImageBatch:
    random = np.random.default_rng(0)
    labels = np.array([0, 3, 3, 6], np.int32)
    return ImageBatch(
        image=random.integers(0, 256, (4, 24, 24, 1), dtype=np.uint8),
        expression_label=labels,
        target=np.eye(7, dtype=np.float32)[labels],
        affect=random.uniform(-1, 1, (4, 2)).astype(np.float32),
        weight=np.ones(4, np.float32),
        position=np.arange(4, dtype=np.int32),
        epoch=np.zeros(4, np.int32),
        steps_per_epoch=np.ones(4, np.int32),
    )


def step_of(config, stage):
    """Weights before and after a step of a stage on one device, and its metrics."""
    training = esr_training(config, NAMES)
    state = jax.jit(training.init_state)(jax.random.key(0))
    before = jax.device_get(state.weights)
    step = parallel_train_step(
        lambda state, batch, key: training.train_step(stage, state, batch, key),
        make_mesh(jax.devices()[:1]),
        mapping="shard_map",
    )
    state, metrics = step(state, jax.tree.map(jnp.asarray, tiny_batch()), jax.random.key(1))
    return before, jax.device_get(state.weights), jax.device_get(metrics)


def changes(before, after) -> dict[str, float]:
    """The largest change of each array, by its path."""
    paths = jax.tree_util.tree_leaves_with_path(before)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): float(np.abs(a - b).max())
        for (path, a), b in zip(paths, jax.tree.leaves(after), strict=True)
    }


def test_from_valence_and_arousal_their_heads_alone_learn():
    overrides = ["model.has_affect=true", "training.learns=affect", "schedule.kind=constant"]
    before, after, metrics = step_of(load_config(CONFIG, overrides), 1)
    moved = {path for path, change in changes(before, after).items() if change}
    assert moved == {f"branch_{i}/affect/{part}" for i in (1, 2) for part in ("kernel", "bias")}
    assert metrics["branches"] > metrics["branches_newest"] > 0


def test_expressions_leave_the_heads_of_valence_and_arousal_alone():
    overrides = ["model.has_affect=true", "optimizer.weight_decay=0.1"]
    before, after, _ = step_of(load_config(CONFIG, overrides), 2)
    moved = changes(before, after)
    assert all(not change for path, change in moved.items() if "/affect/" in path)
    assert all(change for path, change in moved.items() if path.endswith("fc/kernel"))


def test_what_rests_keeps_its_weights_but_not_its_averages():
    overrides = ["training.other_rate_factor=0", "loss.diversity=none"]
    moved = changes(*step_of(load_config(CONFIG, overrides), 1)[:2])
    first = {path: change for path, change in moved.items() if path.startswith("branch_1/")}
    averages = ("norm/mean", "norm/variance")
    assert all(bool(change) is path.endswith(averages) for path, change in first.items())
    assert moved["branch_2/fc/kernel"] > 0 and not moved["branch_3/blocks/0/norm/mean"]


def test_waiting_branches_are_compared_where_all_shall_differ():
    overrides = ["training.all_branches_diverse=true", "loss.diversity=acting"]
    config = load_config(CONFIG, overrides)
    before, after, metrics = step_of(config, 0)
    moved = changes(before, after)
    assert "diversity_spatial" in metrics
    # By their attentions, which their last layers have no part in.
    assert moved["branch_3/blocks/1/conv/kernel"] > 0 and not moved["branch_3/fc/kernel"]
    assert stage_setup(config, 0, epochs=1)[:2] == (1, 3)
    config = load_config(CONFIG, ["training.all_branches_diverse=true", "loss.diversity=none"])
    assert stage_setup(config, 0, epochs=1)[:2] == (1, 1)


def test_the_error_of_valence_and_arousal_by_hand():
    prediction = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.9, 0.9], [0.3, 0.3]])
    target = jnp.array([[0.1, 0.0], [0.3, 0.25], [-1.0, -1.0], [jnp.nan, 0.3]])
    weight = jnp.array([4 / 3, 4 / 3, 0.0, 4 / 3])
    value, gradient = jax.value_and_grad(root_mean_square_error_loss)(prediction, target, weight)
    assert value == pytest.approx(np.sqrt((0.4**2 + 0.3**2) / 2), rel=1e-6)
    expected = np.array([[0.4, 0], [-0.3, 0], [0, 0], [0, 0]]) / 2 / value
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)

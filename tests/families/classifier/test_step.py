"""The plain classifier's training step and its options."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from tdgan_jax.configuration import load_config
from tdgan_jax.data.image_feed import ImageBatch
from tdgan_jax.errors import UsageError
from tdgan_jax.families.classifier.networks import split_networks
from tdgan_jax.families.classifier.step import (
    Objective,
    Setup,
    TrainState,
    class_weights,
    eval_step,
    init_state,
    train_step,
)
from tdgan_jax.families.classifier.training import check_options, classifier_networks
from tdgan_jax.losses import cross_entropy_loss
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.steps.learning import scheduled_rate
from tdgan_jax.steps.optimisers import OptimizerSettings, make_optimizer
from tdgan_jax.steps.parallel import make_mesh, parallel_train_step, replicate, shard_batch
from tdgan_jax.steps.schedules import Schedule

CONFIG = "configs/classifier_synthetic.py:tiny"
WEIGHTED = Objective(label_smoothing=0.1, class_weighting_exponent=1.0)


@cache
def networks_and_weights():
    config = load_config(CONFIG)
    return split_networks(classifier_networks(config, num_expressions=7, rngs=nnx.Rngs(0)))


def make_setup(objective=WEIGHTED, *, decay=0.9, axis_name=None) -> Setup:
    definitions, _ = networks_and_weights()
    # Plain gradient descent: Adam would hide a factor.
    rate = scheduled_rate(Schedule(learning_rate=0.1), epochs=1)
    optimizer = make_optimizer(OptimizerSettings(kind="sgd"), rate)
    return Setup(
        definitions,
        objective,
        optimizer,
        parameter_average_decay=decay,
        axis_name=axis_name,
    )


def tiny_batch() -> ImageBatch:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2, 4, 32, 32, 1), dtype=np.uint8)
    labels = np.array([0, 3, 3, 3], np.int32)
    return ImageBatch(
        image=images[1],
        expression_label=labels,
        target=np.eye(7, dtype=np.float32)[labels],
        affect=np.full((4, 2), np.nan, np.float32),
        weight=np.ones(4, np.float32),
        position=np.arange(4, dtype=np.int32),
        epoch=np.zeros(4, np.int32),
        steps_per_epoch=np.ones(4, np.int32),
    )


def run(setup, batch=None) -> tuple[TrainState, dict]:
    _, weights = networks_and_weights()
    state = init_state(setup, weights, num_classes=7)
    batch = jax.tree.map(jnp.asarray, tiny_batch() if batch is None else batch)
    return jax.jit(lambda state, batch: train_step(setup, state, batch, None))(state, batch)


@cache
def logits_before() -> np.ndarray:
    definitions, weights = networks_and_weights()
    evaluate = jax.jit(partial(eval_step, definitions, Normalisation()))
    return np.asarray(evaluate(weights, tiny_batch().image)["classifier"].scores)


@pytest.fixture(scope="module")
def after_a_step() -> tuple[TrainState, dict]:
    return run(make_setup())


def test_a_step_changes_both_networks_and_reports_the_loss_by_hand(after_a_step):
    state, metrics = after_a_step
    _, weights = networks_and_weights()
    for name, before in weights.items():
        changed = jax.tree.map(lambda x, y: bool((x != y).any()), before, state.weights[name])
        assert any(jax.tree.leaves(changed)), name
    log_probabilities = jax.nn.log_softmax(logits_before())
    targets = 0.9 * np.eye(7)[tiny_batch().expression_label] + 0.1 / 7
    each = -(targets * log_probabilities).sum(axis=1)
    # One image of the first class, three of the other: 1 and 1/3 of the first's weight, mean 1.
    np.testing.assert_allclose(
        metrics["classifier"], (np.asarray(each) * [2, 2 / 3, 2 / 3, 2 / 3]).mean(), rtol=1e-5
    )
    assert int(state.step) == 1
    np.testing.assert_array_equal(state.class_counts, [1, 0, 0, 3, 0, 0, 0])


def test_four_devices_give_the_step_of_one(after_a_step):
    _, weights = networks_and_weights()
    setup = make_setup(axis_name="batch")
    mesh = make_mesh(jax.devices()[:4])
    assert mesh.size == 4
    step = parallel_train_step(
        lambda state, batch, key: train_step(setup, state, batch, None), mesh, mapping="shard_map"
    )
    start = jax.tree.map(np.array, init_state(setup, weights, num_classes=7))
    state, metrics = step(
        replicate(start, mesh), shard_batch(tiny_batch(), mesh), replicate(jax.random.key(0), mesh)
    )
    expected, expected_metrics = after_a_step
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), state, expected
    )
    np.testing.assert_allclose(
        metrics["classifier_accuracy"], expected_metrics["classifier_accuracy"]
    )


def test_averages_are_evaluated_in_place_of_the_weights(after_a_step):
    state, _ = after_a_step
    _, before = networks_and_weights()
    assert state.parameters is state.weight_averages
    decay = 2 / 11  # below 0.9, at the first step
    expected = jax.tree.map(lambda x, y: decay * x + (1 - decay) * y, before, state.weights)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
        state.weight_averages,
        expected,
    )


def test_everything_is_off_by_default():
    config = load_config(CONFIG)
    assert Objective(**config.loss.to_dict()) == Objective()
    setup = make_setup(Objective(), decay=config.training.parameter_average_decay)
    state, metrics = run(setup)
    assert state.weight_averages is None and state.class_counts is None
    assert state.parameters is state.weights
    labels = tiny_batch().expression_label
    plain = -jax.nn.log_softmax(logits_before())[np.arange(4), labels].mean()
    np.testing.assert_allclose(metrics["classifier"], plain, rtol=1e-5)


def test_label_smoothing_is_that_of_smoothed_targets():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)))
    labels = jnp.array([0, 1, 2, 1, 0])
    targets = optax.smooth_labels(jax.nn.one_hot(labels, 3), 0.2)
    expected = optax.softmax_cross_entropy(logits, targets).mean()
    smoothed = cross_entropy_loss(logits, labels, jnp.ones(5), label_smoothing=0.2)
    np.testing.assert_allclose(smoothed, expected, rtol=1e-6)


def test_class_weights_by_hand():
    counts = jnp.array([1.0, 4.0, 0.0])
    # 1, 1/2 with exponent 1/2: the five images have the mean (1 + 4/2) / 5 = 3/5.
    np.testing.assert_allclose(class_weights(counts, exponent=0.5)[:2], [5 / 3, 5 / 6], rtol=1e-6)
    balanced = class_weights(counts, exponent=1.0)
    np.testing.assert_allclose(balanced[0], 4 * balanced[1], rtol=1e-6)
    np.testing.assert_allclose(balanced[0] + 4 * balanced[1], 5.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("loss.label_smoothing", 1.0),
        ("loss.class_weighting_exponent", 1.5),
        ("training.parameter_average_decay", -0.1),
    ],
)
def test_options_out_of_range_are_refused(field, value):
    with pytest.raises(UsageError, match=field.replace(".", r"\.")):
        check_options(load_config(CONFIG, [f"{field}={value}"]))

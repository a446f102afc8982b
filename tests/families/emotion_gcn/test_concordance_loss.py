"""The loss of valence and arousal: golden numbers, its floor, padding, devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from tdgan_jax.losses import concordance_loss
from tdgan_jax.steps.parallel import BATCH_AXIS, make_mesh

PREDICTIONS = np.array([[0.1, 0.2], [0.5, -0.3], [-0.4, 0.8], [0.9, 0.1]], np.float32)
TARGETS = np.array([[0.2, 0.1], [0.4, -0.5], [-0.6, 0.7], [0.7, 0.3]], np.float32)


def by_hand(predictions, targets):
    """The formula of the spec in float64."""
    predictions, targets = (np.asarray(x, np.float64) for x in (predictions, targets))
    means = predictions.mean(0), targets.mean(0)
    covariance = ((predictions - means[0]) * (targets - means[1])).mean(0)
    spread = predictions.var(0, ddof=1) + targets.var(0, ddof=1) + (means[0] - means[1]) ** 2
    return 1 - (2 * covariance / spread).mean()


def test_the_golden_numbers():
    loss = concordance_loss(PREDICTIONS, TARGETS, jnp.ones(4))
    assert float(loss) == pytest.approx(0.294447159, rel=1e-6)
    assert float(concordance_loss(TARGETS, TARGETS, jnp.ones(4))) == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize("count", [2, 35])
def test_a_perfect_batch_has_a_loss_of_one_over_its_size(count):
    targets = np.random.default_rng(0).uniform(-1, 1, (count, 2)).astype(np.float32)
    loss = float(concordance_loss(targets, targets, jnp.ones(count)))
    assert loss == pytest.approx(1 / count, rel=1e-5)


def test_far_from_zero_nothing_cancels():
    generator = np.random.default_rng(0)
    targets = (generator.uniform(-1, 1, (64, 2)) + 100).astype(np.float32)
    predictions = targets + generator.normal(size=(64, 2)).astype(np.float32) * np.float32(0.1)
    loss = concordance_loss(predictions, targets, jnp.ones(64))
    # Of a mean square of 10,000, float32 knows no more than 0.001.
    assert float(loss) == pytest.approx(by_hand(predictions, targets), abs=1e-6)


def gradient_of(predictions, targets, weight):
    return jax.value_and_grad(concordance_loss)(jnp.asarray(predictions), targets, weight)


@pytest.mark.parametrize("filler", [0.0, 1e6, np.nan])
def test_padding_and_unknown_targets_count_nowhere(filler):
    expected, expected_gradient = gradient_of(PREDICTIONS, TARGETS, jnp.ones(4))
    predictions = np.concatenate([PREDICTIONS, np.full((3, 2), filler, np.float32)])
    targets = np.concatenate([TARGETS, [[7.0, 7.0], [np.nan, 0.1], [0.1, np.nan]]])
    targets = targets.astype(np.float32)
    weight = jnp.array([7, 7, 7, 7, 0, 7, 7]) / 7
    loss, gradient = gradient_of(predictions, targets, weight)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    np.testing.assert_allclose(gradient[:4], expected_gradient, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(gradient[4:], 0)


@pytest.mark.parametrize(
    ("predictions", "targets"),
    [
        (PREDICTIONS[:1], TARGETS[:1]),
        (TARGETS[:1], TARGETS[:1]),
        (np.full((3, 2), 0.25, np.float32), np.full((3, 2), 0.25, np.float32)),
        (np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)),
    ],
    ids=["one", "one perfect", "constant", "none"],
)
def test_without_spread_the_correlation_counts_as_zero(predictions, targets):
    loss, gradient = gradient_of(predictions, targets, jnp.ones(len(predictions)))
    assert float(loss) == 1
    assert np.isfinite(gradient).all()


def test_the_gradient_is_that_of_differences():
    _, gradient = gradient_of(PREDICTIONS, TARGETS, jnp.ones(4))
    expected = np.zeros((4, 2))
    for place in np.ndindex(4, 2):
        step = np.zeros((4, 2))
        step[place] = 1e-6
        rise = by_hand(PREDICTIONS + step, TARGETS) - by_hand(PREDICTIONS - step, TARGETS)
        expected[place] = rise / 2e-6
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_bfloat16_predictions_are_reduced_in_float32():
    loss = concordance_loss(jnp.asarray(PREDICTIONS, jnp.bfloat16), TARGETS, jnp.ones(4))
    assert loss.dtype == jnp.float32
    assert float(loss) == pytest.approx(0.294447159, rel=2e-2)


@pytest.mark.parametrize("num_devices", [2, 4])
def test_several_devices_are_one(num_devices):
    """Parameters before the predictions get the same gradient, averaged as the steps do it."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(8, 3)).astype(np.float32)
    targets = generator.uniform(-1, 1, (8, 2)).astype(np.float32)
    # The last device has padding alone.
    weight = np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32) * 8 / 6
    matrix = jnp.asarray(generator.normal(size=(3, 2)).astype(np.float32))

    def loss(matrix, features, targets, weight, axis_name):
        return concordance_loss(features @ matrix, targets, weight, axis_name=axis_name)

    def step(matrix, features, targets, weight):
        value, gradient = jax.value_and_grad(loss)(matrix, features, targets, weight, BATCH_AXIS)
        return jax.lax.pmean((value, gradient), BATCH_AXIS)

    replicated, sharded = PartitionSpec(), PartitionSpec(BATCH_AXIS)
    mapped = jax.shard_map(
        step,
        mesh=make_mesh(jax.devices()[:num_devices]),
        in_specs=(replicated, sharded, sharded, sharded),
        out_specs=replicated,
        check_vma=False,
    )
    value, gradient = jax.jit(mapped)(matrix, features, targets, weight)
    alone = jax.value_and_grad(partial(loss, axis_name=None))
    expected, expected_gradient = alone(matrix, features, targets, weight)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-6)

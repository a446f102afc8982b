"""Diversity losses: the golden numbers of spec ESR and MA-Net E.2, and finite gradients."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from tdgan_jax.families.esr import diversity as esr_diversity
from tdgan_jax.families.esr.branches import BranchOutput
from tdgan_jax.families.ma_net import diversity as ma_net_diversity
from tdgan_jax.families.ma_net.networks import MaNetOutput
from tdgan_jax.losses import (
    DIVERSITY_CHOICES,
    SMALLEST_DETERMINANT,
    Diversity,
    determinant,
    diversity_loss,
    feature_similarities,
)
from tdgan_jax.steps.parallel import make_mesh
from tests.golden_diversified import first_values
from tests.golden_tdgan import golden_tensor

COUNTS = (2, 3, 4, 9)
RELEASED, PAPER = Diversity(), Diversity(diagonal="unit")
DIRECT, LOGARITHM = Diversity(term="direct"), Diversity(diagonal="unit", term="logdet")
ALL_OPTIONS = [
    Diversity(diagonal=diagonal, term=term, reduction=reduction)
    for diagonal, term, reduction in itertools.product(*DIVERSITY_CHOICES.values())
]
RTOL = 1e-5


def spatial_maps(count):
    return jnp.asarray(0.1 * golden_tensor(9020, (count, 4, 6, 6)), jnp.float32)


def channel_maps(count):
    return jnp.asarray(0.03 * golden_tensor(9021, (count, 4, 512)), jnp.float32)


@functools.partial(jax.jit, static_argnums=1)
def loss(features, options):
    return diversity_loss(features, jnp.ones(features.shape[1]), options)


GOLDEN = {  # per number of features
    "spatial": (0.2958993, -0.33386, 0.3093727, -0.03268464),
    "direct": (1.087932, 3.306942, 6.808556, 39.43235),
    "channel": (0.2152794, -0.200237, 0.1377765, -0.008027587),
    "columns": (0.817606, -1.486218, 2.05797, -3.242686),
    "unit_spatial": (-0.7041007, -0.4207112, -0.2161829, -0.008393611),
    "unit_channel": (-0.7847206, -0.5529114, -0.3689505, -0.03147412),
    "norm": (2.059563, 2.426251, 2.390281, 0.3700203),
}
GOLDEN_GRADIENTS = (
    (0.0250685, -0.233022, 0.00260906),
    (-0.00682314, 0.282612, 0.134511),
    (-0.0189208, -0.191226, -0.08549),
    (0.0072769, 0.0142271, 0.00732181),
)


@pytest.mark.parametrize("place", range(len(COUNTS)), ids=map(str, COUNTS))
def test_golden_numbers(place):
    count = COUNTS[place]
    spatial, channel = spatial_maps(count), channel_maps(count)
    weight = jnp.ones(4)
    output = BranchOutput(jnp.zeros((count, 4, 8)), channel, None, channel, spatial)
    terms = esr_diversity.diversity_terms(output, weight, RELEASED)
    columns = esr_diversity.diversity_terms(
        output, weight, RELEASED, channel_source="spatial_columns"
    )
    found = {
        "spatial": terms["spatial"],
        "channel": terms["channel"],
        "columns": columns["channel"],
        "direct": loss(spatial, DIRECT),
        "unit_spatial": loss(spatial, PAPER),
        "unit_channel": loss(channel, PAPER),
    }
    for name, value in found.items():
        np.testing.assert_allclose(value, GOLDEN[name][place], rtol=RTOL, err_msg=name)
    np.testing.assert_allclose(
        loss(spatial, LOGARITHM), -np.log(-GOLDEN["unit_spatial"][place]), rtol=RTOL
    )
    gradient = jax.jit(jax.grad(loss), static_argnums=1)(spatial, RELEASED)
    np.testing.assert_allclose(jnp.linalg.norm(gradient), GOLDEN["norm"][place], rtol=RTOL)
    expected = GOLDEN_GRADIENTS[place]
    np.testing.assert_allclose(
        first_values(gradient), expected, rtol=RTOL, atol=RTOL * np.abs(expected).max()
    )
    similarities = feature_similarities(spatial, weight, RELEASED)
    np.testing.assert_allclose(similarities[0, 1], 0.5439662, rtol=RTOL)
    np.testing.assert_array_equal(similarities, similarities.T)
    similarities = feature_similarities(channel, weight, RELEASED)
    np.testing.assert_allclose(similarities[0, 1], 0.4639822, rtol=RTOL)


def test_golden_numbers_of_ma_net():
    local = jnp.asarray(golden_tensor(9022, (4, 2, 512, 7, 7)).transpose(0, 1, 3, 4, 2))
    logits, attention = jnp.zeros((2, 7)), jnp.zeros((2, 14, 14))
    output = MaNetOutput(logits, logits, local, local.mean(axis=(2, 3))[:2], attention)
    released, direct = (
        ma_net_diversity.diversity_terms(output, jnp.ones(2), options)
        for options in (RELEASED, DIRECT)
    )
    np.testing.assert_allclose(released["spatial"], 1.571086, rtol=RTOL)
    np.testing.assert_allclose(direct["spatial"], 10.2164, rtol=RTOL)
    np.testing.assert_allclose(direct["channel"], 2.640788e-07, rtol=1e-4)  # exp of -17
    output = output._replace(pooled_features=channel_maps(2))
    terms = ma_net_diversity.diversity_terms(
        output._replace(local_features=jnp.zeros((4, 4, 1, 1, 1))), jnp.ones(4), RELEASED
    )
    np.testing.assert_allclose(terms["global"], 0.2152794, rtol=RTOL)


@pytest.mark.parametrize(("count", "factor"), [(2, 1), (3, -2), (4, 3), (9, -8)])
def test_equal_similarities_have_the_closed_form(count, factor):
    similarity = 0.7
    matrix = similarity * (1 - jnp.eye(count))
    expected = factor * similarity**count
    np.testing.assert_allclose(-determinant(matrix), expected, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_determinant_and_its_gradient(size):
    matrix = np.random.default_rng(size).normal(size=(size, size))
    value, gradient = jax.value_and_grad(determinant)(jnp.asarray(matrix, jnp.float32))
    expected = np.linalg.det(matrix)
    cofactors = expected * np.linalg.inv(matrix).T
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    np.testing.assert_allclose(gradient, cofactors, rtol=1e-3, atol=1e-4 * np.abs(cofactors).max())


@pytest.mark.parametrize("count", COUNTS)
def test_a_determinant_of_denormal_numbers_is_finite(count):
    denormal = np.full((count, count), 1e-40, np.float32)
    for matrix in (denormal, denormal + np.eye(count, dtype=np.float32)):
        value, gradient = jax.value_and_grad(determinant)(matrix)
        assert np.isfinite(value) and np.isfinite(gradient).all()


def test_the_gradient_of_a_matrix_without_rank_is_that_of_its_minors():
    np.testing.assert_array_equal(jax.grad(determinant)(jnp.zeros((4, 4))), 0)
    gradient = jax.grad(determinant)(jnp.diag(jnp.array([2.0, 3.0, 0.0])))
    np.testing.assert_array_equal(gradient, np.diag([0.0, 0.0, 6.0]))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("options", ALL_OPTIONS, ids=lambda o: "-".join(map(str, o)))
def test_loss_and_gradient_are_finite_for_similarities_of_any_size(options, count):
    generator = np.random.default_rng(0)
    directions = jnp.asarray(generator.normal(size=(count, 4, 6, 6)), jnp.float32)

    @jax.jit
    def value_and_norm(features):
        value, gradient = jax.value_and_grad(loss)(features, options)
        return value, jnp.isfinite(gradient).all()

    # Squared distances of about 72 times the square of the factor, and e^-92 = 1e-40.
    cases = [factor * directions for factor in (0.0, 1e-30, 0.1, 0.3, 0.357, 0.38, 0.4, 1.0, 1e3)]
    for i, features in enumerate([*cases, neighbours(count)]):
        value, is_finite = value_and_norm(features)
        assert np.isfinite(value) and is_finite, i


def neighbours(count):
    """Features that differ in one place; the similarity of each to the next one is 1e-40."""
    step = np.sqrt(np.log(10) * 40 / 10)
    places = step * np.arange(count).reshape(-1, 1, 1, 1)
    return jnp.asarray(places * np.eye(6)[0] * np.ones((count, 4, 6, 1)) / 6**0.5, jnp.float32)


def test_similarities_of_neighbours_are_that_small():
    similarities = np.asarray(feature_similarities(neighbours(3), jnp.ones(4), RELEASED))
    assert 0 <= similarities[0, 1] < 2e-40  # 0 where the device has no such numbers


@pytest.mark.parametrize("count", COUNTS)
def test_which_way_a_step_goes(count):
    """Released, two features are pushed apart, three and nine drawn together (spec Part B)."""
    features = spatial_maps(count) * 0.8

    def direction(options):
        spread = lambda factor: loss(factor * features, options)  # noqa: E731
        return np.sign(-jax.grad(spread)(1.0))

    assert direction(PAPER) == direction(LOGARITHM) == direction(DIRECT) == 1
    assert direction(RELEASED) == {2: 1, 3: -1, 4: 1, 9: -1}[count]


def test_the_logarithm_has_a_floor_without_gradient():
    same = jnp.ones((3, 2, 5))
    value, gradient = jax.value_and_grad(loss)(same, LOGARITHM)
    np.testing.assert_allclose(value, -np.log(SMALLEST_DETERMINANT), rtol=1e-6)
    np.testing.assert_array_equal(gradient, 0)
    # Two features, the diagonal 0: a negative determinant, of which there is no logarithm.
    assert np.isfinite(loss(spatial_maps(2), LOGARITHM._replace(diagonal="zero")))


def test_meaned_positions_count_by_their_number():
    features = spatial_maps(4)
    meaned = loss(features, Diversity(reduction="mean", gamma=360.0))
    np.testing.assert_allclose(meaned, loss(features, RELEASED), rtol=1e-5)


@pytest.mark.parametrize("options", [RELEASED, LOGARITHM, DIRECT])
def test_padding_counts_not(options):
    features = spatial_maps(4)
    weight = jnp.array([4, 4, 0, 4]) / 3
    kept = features[:, jnp.array([0, 1, 3])]
    gradient = jax.grad(lambda f: diversity_loss(f, weight, options))(features)
    expected = jax.grad(loss)(kept, options)
    np.testing.assert_allclose(gradient[:, jnp.array([0, 1, 3])], expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(gradient[:, 2], 0)


@pytest.mark.parametrize("options", [RELEASED, LOGARITHM, DIRECT])
@pytest.mark.parametrize("num_devices", [2, 4])
def test_several_devices_compute_the_loss_of_the_whole_batch(options, num_devices):
    features, weight = spatial_maps(4), jnp.array([4, 4, 0, 4]) / 3
    by_example = jnp.moveaxis(features, 1, 0)
    scale = jnp.array([1.0, 0.9, 1.1, 1.0]).reshape(4, 1, 1, 1)  # stands for a network's weights

    def gradient_of(by_example, weight, axis_name):
        def value(scale):
            features = jnp.moveaxis(by_example, 1, 0) * scale
            return diversity_loss(features, weight, options, axis_name=axis_name)

        return jax.value_and_grad(value)(scale)

    mesh = make_mesh(jax.devices()[:num_devices])

    def on_one(by_example, weight):
        return jax.lax.pmean(gradient_of(by_example, weight, "batch"), "batch")

    divided = PartitionSpec("batch")
    on_all = jax.shard_map(
        on_one, mesh=mesh, in_specs=(divided, divided), out_specs=PartitionSpec(), check_vma=False
    )
    value, gradient = jax.jit(on_all)(by_example, weight)
    expected_value, expected_gradient = gradient_of(by_example, weight, None)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Diversity(diagonal="one"), "diagonal is 'one'; known: zero, unit"),
        (Diversity(term="trace"), "term is 'trace'; known: det, direct, logdet"),
        (Diversity(reduction="max"), "reduction is 'max'; known: sum, mean"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        loss(spatial_maps(2), options)


def test_too_many_features_for_a_determinant_are_refused():
    features = jnp.zeros((17, 1, 1))
    with pytest.raises(ValueError, match="a determinant of 17 features takes too long; 16 are the"):
        loss(features, RELEASED)
    assert loss(features, DIRECT) == 17 * 16


def test_branches_without_attention_have_no_diversity():
    output = BranchOutput(jnp.zeros((2, 1, 8)), jnp.zeros((2, 1, 4)), None, None, None)
    with pytest.raises(ValueError, match="has_attention is false: diversity compares"):
        esr_diversity.diversity_terms(output, jnp.ones(1), RELEASED)
    with pytest.raises(ValueError, match="channel_source is 'rows'; known: channel_attention, sp"):
        esr_diversity.diversity_terms(output, jnp.ones(1), RELEASED, channel_source="rows")

"""ESR with the weights of Part E.3 of its specification: all its numbers, in both modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.families.esr.diversity import diversity_terms
from tdgan_jax.families.esr.networks import (
    ensemble_output,
    make_esr,
    mean_affect,
    merge_networks,
    split_networks,
    vote_counts,
)
from tdgan_jax.families.esr.weights import esr_from_torch, torch_from_esr
from tdgan_jax.losses import Diversity, cross_entropy_loss
from tdgan_jax.networks.batch_norm import batch_statistics
from tests.golden_diversified import (
    CHANGE_RTOL,
    FORWARD_RTOL,
    GRADIENT_RTOL,
    SECOND_GRADIENT_RTOL,
    SECOND_LOSS_RTOL,
    assert_golden,
    golden_state_dict,
    gradient_norm,
    parameter_sum,
    running_sum,
    zeros_of,
)
from tests.golden_tdgan import golden_tensor

LABELS = np.array([0, 3, 5, 7])
RELEASED = Diversity()
DIRECT = Diversity(term="direct")
CK_PLUS = {
    "num_branches": 4,
    "image_channels": 1,
    "base_widths": (32, 64, 64),
    "base_pooled_layers": (2, 3),
    "branch_widths": (64, 64),
    "branch_pooled_layers": (1,),
    "branch_padded_layers": (),
    "has_attention": False,
}
PLAIN = {"has_attention": False, "has_affect": True}


def shapes_of(**fields):
    networks = nnx.eval_shape(lambda: make_esr(num_expressions=8, rngs=nnx.Rngs(0), **fields))
    return split_networks(networks)


def golden_ensemble(**fields):
    """Definitions and tree with the weights of base numbers 0, 1000, 2000, ..."""
    definitions, shapes = shapes_of(**fields)
    keys = torch_from_esr(zeros_of(shapes))
    filled = {name: golden_state_dict(1000 * i, keys[name]) for i, name in enumerate(shapes)}
    return definitions, esr_from_torch(filled, shapes)


def golden_images(k, *shape):
    return golden_tensor(k, shape).transpose(0, 2, 3, 1)


def evaluated(definitions, tree, images):
    """Base output and results of the branches, in evaluation mode."""

    @jax.jit
    def run(tree):
        networks = merge_networks(definitions, tree)
        return networks.base(images), ensemble_output(networks, images)

    return jax.device_get(run(tree))


@pytest.fixture(scope="module")
def diversified():
    return golden_ensemble(num_branches=3)


@pytest.fixture(scope="module")
def images():
    return golden_images(9000, 4, 3, 96, 96)


@pytest.fixture(scope="module")
def answer(diversified, images):
    return evaluated(*diversified, images)


def entries_and_parameters(shapes):
    state_dicts = torch_from_esr(zeros_of(shapes))
    counters = ("running_mean", "running_var", "num_batches_tracked")
    return {
        name: (
            len(state_dict),
            sum(v.size for k, v in state_dict.items() if not k.endswith(counters)),
        )
        for name, state_dict in state_dicts.items()
    }


@pytest.mark.parametrize(
    ("fields", "base", "branch", "num_branches"),
    [
        ({}, (68, 382_316), (70, 2_272_224), 9),
        (PLAIN, (28, 374_784), (32, 2_219_418), 9),
        ({"has_attention": False}, (28, 374_784), (30, 2_219_400), 9),
        (CK_PLUS, (21, 56_576), (16, 74_632), 4),
    ],
    ids=["diversified", "plain", "without affect", "ck+"],
)
def test_entries_and_parameters_of_each_file(fields, base, branch, num_branches):
    _, shapes = shapes_of(**fields)
    branches = {f"branch_{number}": branch for number in range(1, num_branches + 1)}
    assert entries_and_parameters(shapes) == {"base": base} | branches


@pytest.mark.parametrize(
    ("fields", "count"), [(PLAIN, 20_349_546), ({}, 20_832_332), (CK_PLUS, 355_104)]
)
def test_parameters_of_the_whole_ensemble(fields, count):
    _, shapes = shapes_of(**fields)
    assert sum(number for _, number in entries_and_parameters(shapes).values()) == count


def test_base_output_and_logits(answer):
    base, output = answer
    assert_golden(base, mean=0.009729898, std=0.01350418)
    expected = [
        (0.0451832, -0.05714158, 0.011167, -0.04391316)
        + (0.09577465, -0.0977561, 0.08502141, -0.03872623),
        (0.08287115, -0.02001538, -0.08487744, -0.04217077)
        + (-0.01941962, -0.01344226, 0.005132834, -0.02837721),
        (0.03250671, -0.005170436, 0.09810906, 0.05437274)
        + (-0.06538829, -0.08809208, 0.02142293, -0.04059966),
    ]
    # To the last digit that the specification gives, and of the largest logit.
    np.testing.assert_allclose(output.logits[:, 0], expected, rtol=FORWARD_RTOL, atol=2e-7)


def test_attentions(answer):
    output = answer[1]
    assert output.spatial_attention.shape == (3, 4, 6, 6)
    assert output.channel_attention.shape == (3, 4, 512)
    assert_golden(
        output.spatial_attention,
        mean=0.4997213,
        std=0.0239611,
        first=(0.5291157, 0.5265535, 0.5234732),
    )
    assert_golden(
        output.channel_attention,
        mean=0.5011566,
        std=0.04606363,
        first=(0.4309529, 0.5847766, 0.496031),
    )


def test_votes_of_different_branches_fall_to_the_lowest_class(answer):
    logits = answer[1].logits
    expected = np.repeat(np.array([[4], [0], [2]]), 4, axis=1)
    np.testing.assert_array_equal(logits.argmax(axis=-1), expected)
    np.testing.assert_array_equal(vote_counts(logits).argmax(axis=-1), np.zeros(4))


def test_diversity_in_evaluation(answer):
    weight = jnp.ones(4)
    released = diversity_terms(answer[1], weight, RELEASED)
    direct = diversity_terms(answer[1], weight, DIRECT)
    np.testing.assert_allclose(released["spatial"], -0.386858, rtol=FORWARD_RTOL)
    np.testing.assert_allclose(direct["spatial"], 3.676836, rtol=FORWARD_RTOL)
    np.testing.assert_allclose(direct["channel"], 3.977601e-09, rtol=FORWARD_RTOL)


def test_gradient_of_the_spatial_term(diversified, images):
    definitions, tree = diversified

    @jax.jit
    @jax.grad
    def gradient(tree):
        output = ensemble_output(merge_networks(definitions, tree), images)
        return diversity_terms(output, jnp.ones(4), RELEASED)["spatial"]

    found = gradient(tree)
    weights = {name: without_averages(found[name]) for name in found}
    norms = [gradient_norm(weights[name]) for name in weights]
    expected = (0.006272061, 5.884965, 0.4591618, 8.353695)
    np.testing.assert_allclose(norms, expected, rtol=GRADIENT_RTOL)


def without_averages(tree):
    """A tree without its running averages, which get a gradient in evaluation mode."""
    if not isinstance(tree, dict):
        return tree
    return {
        name: without_averages(child)
        for name, child in tree.items()
        if name not in ("mean", "variance")
    }


RATES = {"base": 0.01, "branch_1": 0.01, "branch_2": 0.01, "branch_3": 0.1}


@pytest.fixture(scope="module")
def training(diversified, images):
    """State dicts, metrics and gradients of two steps of SGD with momentum 0.9."""
    definitions, tree = diversified
    statistics = batch_statistics(jnp.ones(4), axis_name=None)

    @jax.jit
    def step(weights, averages, momenta):
        def loss(weights):
            networks = merge_networks(definitions, weights, averages)
            output = ensemble_output(
                networks, images, base_statistics=statistics, branch_statistics=statistics
            )
            losses = [cross_entropy_loss(x, LABELS, jnp.ones(4)) for x in output.logits]
            terms = diversity_terms(output, jnp.ones(4), RELEASED)
            total = sum(losses) + terms["spatial"] + terms["channel"]
            columns = diversity_terms(
                output, jnp.ones(4), RELEASED, channel_source="spatial_columns"
            )
            metrics = {
                "cross_entropies": jnp.stack(losses),
                "direct": diversity_terms(output, jnp.ones(4), DIRECT)["spatial"],
                "columns": columns["channel"],
                "channel": terms["channel"],
                "total": total,
            }
            return total, (averages_of(networks), metrics)

        gradients, (after, metrics) = jax.grad(loss, has_aux=True)(weights)
        momenta = jax.tree.map(lambda v, g: 0.9 * v + g, momenta, gradients)
        moved = {
            name: jax.tree.map(lambda w, v, rate=RATES[name]: w - rate * v, tree, momenta[name])
            for name, tree in weights.items()
        }
        return moved, after, momenta, gradients, metrics

    weights, averages = separate(definitions, tree)
    momenta = jax.tree.map(jnp.zeros_like, weights)
    records = []
    for _ in range(2):
        weights, averages, momenta, gradients, metrics = step(weights, averages, momenta)
        networks = merge_networks(definitions, weights, averages)
        state_dicts = torch_from_esr(jax.device_get(split_networks(networks)[1]))
        norms = {name: gradient_norm(tree) for name, tree in gradients.items()}
        records.append((state_dicts, norms, jax.device_get(metrics)))
    return torch_from_esr(tree), records


def separate(definitions, tree):
    networks = merge_networks(definitions, tree)
    parts = [nnx.split(n, nnx.Param, nnx.BatchStat) for n in (networks.base, *networks.branches)]
    return tuple(
        {name: nnx.to_pure_dict(part[i]) for name, part in zip(tree, parts, strict=True)}
        for i in (1, 2)
    )


def averages_of(networks):
    names = ("base", "branch_1", "branch_2", "branch_3")
    return {
        name: nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))
        for name, network in zip(names, (networks.base, *networks.branches), strict=True)
    }


EXPECTED_STEPS = (
    {
        "cross_entropies": (2.165394, 2.060994, 2.11383),
        "direct": 3.368709e-06,
        "columns": -0.002022911,
        "total": 6.340218,
        "norms": (16.18011, 4.332979, 3.593408, 3.733925),
    },
    {
        "cross_entropies": (2.109527, 2.007703, 1.89734),
        "direct": 0.0001656091,
        "columns": -0.004837188,
        "total": 6.01457,
        "norms": (15.43051, 4.229731, 3.528701, 3.842668),
    },
)


@pytest.mark.parametrize("step", [0, 1])
def test_losses_and_gradients_of_two_steps(training, step):
    _, norms, metrics = training[1][step]
    expected = EXPECTED_STEPS[step]
    rtol = (FORWARD_RTOL, SECOND_LOSS_RTOL)[step]
    for name in ("cross_entropies", "total"):
        np.testing.assert_allclose(metrics[name], expected[name], rtol=rtol, err_msg=name)
    gradient_rtol = (GRADIENT_RTOL, SECOND_GRADIENT_RTOL)[step]
    np.testing.assert_allclose(list(norms.values()), expected["norms"], rtol=gradient_rtol)
    assert metrics["channel"] == 0


# exp(-10 d) of distances near 1.5: what the first step rounds comes back many times; 1.8e-3 seen.
@pytest.mark.parametrize(("step", "rtol"), [(0, FORWARD_RTOL), (1, 5e-3)])
def test_similarities_of_two_steps(training, step, rtol):
    metrics = training[1][step][2]
    for name in ("direct", "columns"):
        expected = EXPECTED_STEPS[step][name]
        np.testing.assert_allclose(metrics[name], expected, rtol=rtol, err_msg=name)


def test_the_first_step_changes_the_weights(training):
    before, records = training
    sums = {name: parameter_sum(state_dict) for name, state_dict in before.items()}
    expected = (422.165102, 1107.74379, 1087.21959, 1137.93669)
    np.testing.assert_allclose(list(sums.values()), expected, rtol=1e-6)
    changes = [parameter_sum(records[0][0][name]) - sums[name] for name in sums]
    expected = (1.28074, -0.0538383, 0.226351, 2.94765)
    np.testing.assert_allclose(changes, expected, rtol=CHANGE_RTOL)


def test_one_training_forward_moves_the_running_averages(training):
    before, records = training
    after = records[0][0]
    for kind, expected in {
        "running_mean": (
            (0.6111319, 0.4489885, -0.3837108, 2.051469),
            (0.3197176, 0.8195241, -0.6247693, 1.43539),
        ),
        "running_var": (
            (448.122, 1150.075, 1140.496, 1140.608),
            (406.0755, 1041.294, 1031.983, 1032.735),
        ),
    }.items():
        for state_dicts, sums in zip((before, after), expected, strict=True):
            found = [running_sum(state_dict, kind) for state_dict in state_dicts.values()]
            np.testing.assert_allclose(found, sums, rtol=FORWARD_RTOL, atol=1e-5, err_msg=kind)


def test_the_plain_ensemble_with_valence_and_arousal(images):
    base, output = evaluated(*golden_ensemble(num_branches=1, **PLAIN), images)
    assert_golden(base, mean=0.1853628, std=0.2436639)
    expected = (-0.2513429, -0.05973567, 0.05190889, -0.0689286)
    expected += (-0.08964036, -0.07438024, 0.03165473, -0.05977362)
    np.testing.assert_allclose(output.logits[0, 0], expected, rtol=FORWARD_RTOL, atol=1e-6)
    expected = ((0.08966232, -0.1009479), (0.08995636, -0.1024897))
    np.testing.assert_allclose(output.affect[0, :2], expected, rtol=FORWARD_RTOL)
    np.testing.assert_array_equal(mean_affect(output.affect), output.affect[0])
    assert output.spatial_attention is None and output.channel_attention is None


def test_the_small_ensemble_for_ck_plus():
    base, output = evaluated(
        *golden_ensemble(**CK_PLUS | {"num_branches": 1}), golden_images(9002, 2, 1, 96, 96)
    )
    assert_golden(base, mean=0.2604663)
    expected = (0.01926409, 0.2282259, 0.1985106, 0.1508209)
    expected += (0.441487, -0.2601549, -0.1657885, -0.1642094)
    np.testing.assert_allclose(output.logits[0, 0], expected, rtol=FORWARD_RTOL, atol=1e-6)

"""MA-Net with the weights of Part E of its specification: all its numbers, in both modes.

At the paper's 224 pixels: the network is filled, run and trained once for the whole file.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.families.ma_net.blocks import AttentionBlock, MultiScaleBlock
from tdgan_jax.families.ma_net.diversity import diversity_terms
from tdgan_jax.families.ma_net.networks import (
    make_ma_net,
    mixed_logits,
    quadrants,
    split_networks,
)
from tdgan_jax.families.ma_net.weights import (
    attention_block_table,
    basic_block_table,
    ma_net_from_torch,
    ma_net_table,
    multi_scale_block_table,
    torch_from_ma_net,
)
from tdgan_jax.losses import Diversity, cross_entropy_loss
from tdgan_jax.networks.batch_norm import batch_statistics
from tdgan_jax.networks.layers import max_pool_3x3_stride_2
from tdgan_jax.networks.resnet import ResidualBlock
from tdgan_jax.torch_weights.mapping import parameters_from_torch, torch_from_parameters
from tdgan_jax.torch_weights.resnet import with_counters
from tests.golden_diversified import (
    CHANGE_RTOL,
    FORWARD_RTOL,
    GRADIENT_RTOL,
    RUNNING,
    SECOND_LOSS_RTOL,
    assert_golden,
    golden_state_dict,
    gradient_norm,
    parameter_sum,
    running_sum,
    shapes_of,
    zeros_of,
)
from tests.golden_tdgan import golden_tensor

LABELS = np.array([1, 4])
RELEASED = Diversity()


def nchw(values):
    """`[..., H, W, C]` in PyTorch's layout."""
    return np.moveaxis(np.asarray(values), -1, -3)


def make_basic(rngs):
    return ResidualBlock(64, 64, stride=1, is_bottleneck=False, rngs=rngs)


def make_attention(rngs):
    return AttentionBlock(64, 128, stride=2, rngs=rngs)


def make_multi_scale(width=64, stride=1, direction="forward"):
    return lambda rngs: MultiScaleBlock(
        64, width, stride=stride, second_direction=direction, rngs=rngs
    )


BLOCKS = {
    "basic": (
        (make_basic, basic_block_table, 73_984, 12),
        {"mean": 0.1572044, "std": 0.2180713, "first": (0.5758459, 0, 0)},
    ),
    "attention": (
        (make_attention, attention_block_table, 232_428, 28),
        {"mean": 0.1249035, "std": 0.193521, "first": (0.456488, 0.127726, 0.3717968)},
    ),
    "multi-scale": (
        (make_multi_scale(), multi_scale_block_table, 55_680, 54),
        {"mean": 0.2055682, "std": 0.295611, "first": (0.521444, 0, 0)},
    ),
    "multi-scale, reversed": (
        (make_multi_scale(direction="reversed"), multi_scale_block_table, 55_680, 54),
        {"mean": 0.1990127, "std": 0.2853952, "first": (0.4114912, 0, 0)},
    ),
    "multi-scale, strided": (
        (make_multi_scale(128, 2), multi_scale_block_table, 156_672, 60),
        {"mean": 0.1745472, "std": 0.2737922, "first": (0.1128883, 0, 0)},
    ),
}


@pytest.mark.parametrize(("given", "expected"), BLOCKS.values(), ids=BLOCKS)
def test_blocks(given, expected):
    make, make_table, num_parameters, num_entries = given
    definition, shapes = shapes_of(make)
    table = [e._replace(key=e.key.lstrip(".")) for e in make_table("", (), shapes)]
    keys = with_counters(torch_from_parameters(table, zeros_of(shapes)))
    assert len(keys) == num_entries
    counted = [v.size for k, v in keys.items() if "running" not in k and "num_" not in k]
    assert sum(counted) == num_parameters
    block = nnx.merge(definition, parameters_from_torch(table, golden_state_dict(0, keys), shapes))
    x = jnp.asarray(golden_tensor(9008, (2, 64, 8, 8)).transpose(0, 2, 3, 1) - 0.5)
    output = jax.jit(lambda x: block(x, None))(x)
    output = output.output if hasattr(output, "output") else output
    assert_golden(nchw(output), **expected)


@pytest.mark.parametrize(
    ("num_expressions", "count"), [(12_666, 63_535_348), (8, 50_548_240), (7, 50_547_214)]
)
def test_parameters_and_entries(num_expressions, count):
    network = nnx.eval_shape(lambda: make_ma_net(num_expressions=num_expressions, rngs=nnx.Rngs(0)))
    shapes = split_networks(network)[1]
    leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.state(network, nnx.Param)))
    assert sum(leaf.size for leaf in leaves) == count
    if num_expressions == 7:
        keys = torch_from_ma_net(zeros_of(shapes))["network"]
        assert len(keys) == 692
        for part, number in {
            "layer1": 147_968,
            "layer2": 525_568,
            "layer3_1_p1": 2_116_840,
            "layer4_1_p4": 8_460_552,
            "layer3_2": 1_510_912,
            "layer4_2": 6_036_480,
        }.items():
            sizes = [
                value.size
                for key, value in keys.items()
                if key.startswith(f"{part}.") and "running" not in key and "num_" not in key
            ]
            assert sum(sizes) == number, part


class Golden(NamedTuple):
    """The filled network and its input."""

    definition: nnx.GraphDef
    state_dict: dict[str, np.ndarray]
    tree: dict
    images: jax.Array


class Steps(NamedTuple):
    """What two steps of training gave."""

    state_dict: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    metrics: tuple


@pytest.fixture(scope="module")
def golden():
    network = nnx.eval_shape(lambda: make_ma_net(num_expressions=7, rngs=nnx.Rngs(0)))
    definitions, shapes = split_networks(network)
    keys = torch_from_ma_net(zeros_of(shapes))["network"]
    state_dict = golden_state_dict(0, keys)
    tree = ma_net_from_torch({"network": state_dict}, shapes)["network"]
    images = jnp.asarray(golden_tensor(9001, (2, 3, 224, 224)).transpose(0, 2, 3, 1))
    return Golden(definitions.network, state_dict, tree, images)


@pytest.fixture(scope="module")
def evaluated(golden):
    """Outputs of the stages, of the network, and of the one with reversed sub-bodies."""

    def through(blocks, x):
        for block in blocks:
            x = block(x, None)
            x = x.output if hasattr(x, "output") else x
        return x

    @jax.jit
    def run(tree):
        network = nnx.merge(golden.definition, tree)
        stages = {"conv1": network.conv1(golden.images)}
        x = max_pool_3x3_stride_2(nnx.relu(network.norm1(stages["conv1"], None)), pads_start=True)
        stages["layer1"] = through(network.layer1, x)
        stages["layer2"] = through(network.layer2, stages["layer1"])
        patches = quadrants(stages["layer2"])
        first, last = network.local_branches[0], network.local_branches[3]
        stages["layer3_1_p1"] = through(first.layer3, patches[0])
        stages["layer4_1_p1"] = through(first.layer4, stages["layer3_1_p1"])
        stages["layer4_1_p4"] = through([*last.layer3, *last.layer4], patches[3])
        stages["layer3_2"] = through(network.global_branch.layer3, stages["layer2"])
        stages["layer4_2"] = through(network.global_branch.layer4, stages["layer3_2"])
        output = network(golden.images)
        for block in (*network.global_branch.layer3, *network.global_branch.layer4):
            block.sub_bodies[1].is_reversed = True
        return stages, output, network(golden.images)

    return jax.device_get(run(golden.tree))


@pytest.fixture(scope="module")
def steps(golden):
    """Two steps of SGD with momentum and weight decay.

    State dict after the first one and its gradients, and the metrics of both.
    """
    statistics = batch_statistics(jnp.ones(2), axis_name=None)

    @jax.jit
    def step(weights, averages, momenta):
        def loss(weights):
            network = nnx.merge(golden.definition, weights, averages)
            output = network(golden.images, statistics)
            losses = [cross_entropy_loss(logits, LABELS, jnp.ones(2)) for logits in output[:2]]
            terms = diversity_terms(output, jnp.ones(2), RELEASED)
            total = 0.6 * losses[0] + 0.4 * losses[1] + sum(terms.values())
            after = nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))
            return total, (after, losses, terms, total)

        gradients, (after, *metrics) = jax.grad(loss, has_aux=True)(weights)
        momenta = jax.tree.map(
            lambda v, g, w: 0.9 * v + (g + 1e-4 * w), momenta, gradients, weights
        )
        moved = jax.tree.map(lambda w, v: w - 0.01 * v, weights, momenta)
        return moved, after, momenta, gradients, metrics

    _, *parts = nnx.split(nnx.merge(golden.definition, golden.tree), nnx.Param, nnx.BatchStat)
    weights, averages = map(nnx.to_pure_dict, parts)
    momenta = jax.tree.map(jnp.zeros_like, weights)
    weights, averages, momenta, gradients, first = step(weights, averages, momenta)
    network = nnx.merge(golden.definition, weights, averages)
    state_dict = torch_from_ma_net(jax.device_get(split_networks(network)[1]))["network"]
    table = [entry for entry in ma_net_table(weights) if "running" not in entry.key]
    gradients = torch_from_parameters(table, jax.device_get(gradients))
    second = step(weights, averages, momenta)[-1]
    return Steps(state_dict, gradients, jax.device_get((first, second)))


STAGES = {
    "conv1": (0.01534263, 0.5536097, (-0.011584, -0.122458, -0.18056)),
    "layer1": (0.6487111, 0.7152587, (0.82846, 1.06627, 1.03098)),
    "layer2": (0.6459847, 0.9098201, (0, 0, 0.274657)),
    "layer3_1_p1": (0.4781233, 0.6910309, (0.128801, 0.0558001, 0.0424849)),
    "layer4_1_p1": (0.3638947, 0.5397721, (0, 0.00646325, 0)),
    "layer4_1_p4": (0.3618566, 0.5463223, (0.427401, 0.520352, 0.414252)),
    "layer3_2": (1.39514, 1.959228, (1.0123, 1.04496, 1.22199)),
    "layer4_2": (2.528244, 3.265563, (2.73051, 2.74273, 2.80677)),
}


@pytest.mark.parametrize("stage", STAGES)
def test_outputs_of_the_stages(evaluated, stage):
    mean, std, first = STAGES[stage]
    assert_golden(nchw(evaluated[0][stage]), mean=mean, std=std, first=first)


def test_logits(evaluated):
    output = evaluated[1]
    expected = {
        "local": (-0.09708735, 0.3692948, 0.1124386, -1.018116)
        + (0.3117584, 0.2947321, -0.4978384),
        "global": (0.1954959, -0.4855786, 5.997243, 0.6720492) + (-1.155784, 1.173307, -1.384499),
        "mixed": (0.01994594, 0.0273454, 2.46636, -0.3420501) + (-0.2752586, 0.646162, -0.8525027),
    }
    found = {
        "local": output.local_logits,
        "global": output.global_logits,
        "mixed": mixed_logits(output),
    }
    for name, values in expected.items():
        largest = np.abs(values).max()
        np.testing.assert_allclose(found[name][0], values, rtol=0, atol=FORWARD_RTOL * largest)


def test_features(evaluated):
    output = evaluated[1]
    assert output.pooled_features.shape == (2, 2, 512)
    assert output.local_features.shape == (4, 2, 7, 7, 512)
    assert_golden(output.pooled_features, mean=1.44213, std=2.095953)
    assert_golden(output.local_features, mean=0.356016, std=0.5281494)
    assert output.spatial_attention.shape == (2, 14, 14)


def test_the_reversed_second_sub_body(evaluated):
    _, forward, turned = evaluated
    expected = (-1.763971, 0.8740696, 5.185317, 0.7082212, -3.954836, 1.202248, -0.8035749)
    np.testing.assert_allclose(turned.global_logits[0], expected, rtol=0, atol=5e-5)
    np.testing.assert_array_equal(turned.local_logits, forward.local_logits)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, (1.553075, 2.569945, 1.006947e-06, 1.959824)),
        (1, (1.258841, 0.1758601, 7.058476e-07, 0.8256494)),
    ],
)
def test_losses_of_two_steps(steps, step, expected):
    (local, whole), terms, total = steps.metrics[step]
    found = (local, whole, terms["spatial"], total)
    rtol = (FORWARD_RTOL, SECOND_LOSS_RTOL)[step]
    np.testing.assert_allclose(found, expected, rtol=rtol)
    assert terms["channel"] == terms["global"] == 0


NORMS = {
    "conv1": 7.628706,
    "layer1": 13.09376,
    "layer2": 11.14228,
    "layer3_1_p1": 0.4603048,
    "layer4_1_p1": 0.5565243,
    "layer3_2": 8.292175,
    "layer4_2": 5.878176,
    "fc_1": 3.242943,
    "fc_2": 8.704552,
}


def test_gradients_of_the_first_step(steps):
    gradients = steps.gradients
    for part, expected in NORMS.items():
        own = {key: value for key, value in gradients.items() if key.startswith(f"{part}.")}
        np.testing.assert_allclose(gradient_norm(own), expected, rtol=GRADIENT_RTOL, err_msg=part)


SUMS = {  # before, and how the first step changes them
    "conv1": (2.02059575, 0.0911799),
    "layer1": (249.167096, -0.477593),
    "layer2": (591.978957, -0.339997),
    "layer3_1_p1": (1303.36412, -0.0234702),
    "layer4_1_p1": (2507.80958, -0.026158),
    "layer3_2": (1735.11189, 0.440462),
    "layer4_2": (3510.33176, -0.117042),
    "fc_1": (0.149770095, None),
    "fc_2": (1.64536216, None),
}


def test_the_first_step_changes_the_weights(golden, steps):
    for part, (expected, change) in SUMS.items():
        both = (golden.state_dict, steps.state_dict)
        before, after = (parameter_sum(state_dict, f"{part}.") for state_dict in both)
        np.testing.assert_allclose(before, expected, rtol=FORWARD_RTOL, err_msg=part)
        if change is not None:
            np.testing.assert_allclose(after - before, change, rtol=CHANGE_RTOL, err_msg=part)


AVERAGES = {
    "layer1": (-1.370566, 245.4292),
    "layer2": (-5.168267, 641.9385),
    "layer3_1_p1": (-1.541992, 1230.901),
    "layer4_1_p1": (1.606167, 2395.87),
    "layer3_2": (-2.773116, 1760.204),
    "layer4_2": (-5.722613, 3603.98),
}


def test_one_training_forward_moves_the_running_averages(steps):
    for part, (mean, variance) in AVERAGES.items():
        found = [running_sum(steps.state_dict, kind, f"{part}.") for kind in RUNNING]
        np.testing.assert_allclose(found, (mean, variance), rtol=FORWARD_RTOL, err_msg=part)

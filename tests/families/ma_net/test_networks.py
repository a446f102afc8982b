"""MA-Net: sizes, options, devices, and parity with the torch twin, block and network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec

from tdgan_jax.families.ma_net.blocks import AttentionBlock, MultiScaleBlock, SubBody
from tdgan_jax.families.ma_net.diversity import diversity_terms
from tdgan_jax.families.ma_net.networks import (
    MaNetOutput,
    make_ma_net,
    mixed_logits,
    put_together,
    quadrants,
    split_networks,
)
from tdgan_jax.families.ma_net.weights import (
    attention_block_table,
    multi_scale_block_table,
    torch_from_ma_net,
)
from tdgan_jax.losses import Diversity, cross_entropy_loss
from tdgan_jax.networks import batch_norm
from tdgan_jax.networks.batch_norm import batch_statistics
from tdgan_jax.steps.parallel import make_mesh
from tdgan_jax.torch_weights.mapping import torch_from_parameters
from tdgan_jax.torch_weights.resnet import with_counters
from tests.families.ifgan.ifgan_networks import nchw, nhwc, random_images, randomised, tree_of
from tests.families.ma_net.small_ma_net import SMALL, small_tree

LAYER = {"rtol": 1e-4, "atol": 1e-5}
# Rounding adds up over sixteen layers with statistics of few values.
NETWORK = {"rtol": 1e-3, "atol": 1e-3}


def small_images(count=3, seed=0):
    return (random_images(count, 64, 64, 3, seed=seed) + 1) / 2


def statistics_of(x):
    return batch_statistics(jnp.ones(x.shape[0]), axis_name=None)


def test_the_full_size_has_the_shapes_of_the_specs_table():
    network = nnx.eval_shape(lambda: make_ma_net(num_expressions=7, rngs=nnx.Rngs(0)))
    image = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    shared = nnx.eval_shape(lambda network, x: network.shared(x), network, image)
    assert shared.shape == (2, 28, 28, 128)
    output = nnx.eval_shape(lambda network, x: network(x), network, image)
    assert output.local_logits.shape == output.global_logits.shape == (2, 7)
    assert output.local_features.shape == (4, 2, 7, 7, 512)
    assert output.pooled_features.shape == (2, 2, 512)
    assert output.spatial_attention.shape == (2, 14, 14)


def test_quadrants_stand_in_the_order_of_the_specification():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    corners = [float(part[0, 0, 0, 0]) for part in quadrants(x)]
    assert corners == [0, 2, 8, 10]
    np.testing.assert_array_equal(put_together(quadrants(x)), x)


def make_attention(**sizes):
    return lambda rngs: AttentionBlock(8, attention_reduction=4, rngs=rngs, **sizes)


def make_multi_scale(**sizes):
    return lambda rngs: MultiScaleBlock(8, rngs=rngs, **sizes)


@pytest.mark.parametrize("sizes", [{"width": 8}, {"width": 16, "stride": 2}])
@pytest.mark.parametrize("kind", ["attention", "forward", "reversed"])
def test_blocks_in_both_modes(kind, sizes, monkeypatch):
    # One program a shape, not one an operation.
    compiled = jax.jit(batch_norm.normalise_batch, static_argnums=(4, 5, 6))
    monkeypatch.setattr(batch_norm, "normalise_batch", compiled)
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.ma_net import twin

    width, stride = sizes["width"], sizes.get("stride", 1)
    if kind == "attention":
        make, table_of = make_attention(**sizes), attention_block_table
        theirs = twin.BasicBlock(8, width, stride, 4)
    else:
        make, table_of = make_multi_scale(**sizes, second_direction=kind), multi_scale_block_table
        theirs = twin.MultiScaleBlock(8, width, stride, kind)
    block = randomised(make)
    tree = tree_of(block)
    table = [e._replace(key=e.key.lstrip(".")) for e in table_of("", (), tree)]
    state_dict = with_counters(torch_from_parameters(table, tree))
    assert list(state_dict) == list(theirs.state_dict())
    theirs.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    x = random_images(2, 6, 8, 8)
    tensor = torch.tensor(nchw(x))
    for mode, statistics in ((theirs.eval(), None), (theirs.train(), statistics_of(x))):
        output = block(x, statistics)
        output = output.output if kind == "attention" else output
        theirs.train(statistics is not None)
        np.testing.assert_allclose(output, nhwc(mode(tensor)), **LAYER)
    for key, value in torch_from_parameters(table, tree_of(block)).items():
        np.testing.assert_allclose(value, theirs.state_dict()[key], **LAYER, err_msg=key)


def test_each_group_sees_those_before_it():
    """What a change of one group's input changes (spec C.1)."""
    seen = {"forward": [[0, 1, 2, 3], [3]], "reversed": [[0], [0, 1, 2, 3]]}
    groups = [random_images(1, 4, 4, 2, seed=seed) + 2 for seed in range(4)]
    for direction, (of_first, of_last) in seen.items():
        body = randomised(lambda rngs, d=direction: SubBody(2, direction=d, rngs=rngs))
        before = body(groups)
        for changed, expected in ((0, of_first), (3, of_last)):
            other = [g + (5.0 if i == changed else 0.0) for i, g in enumerate(groups)]
            difference = np.abs(body(other) - before).max(axis=(0, 1, 2)).reshape(4, 2).max(axis=1)
            assert np.flatnonzero(difference > 0).tolist() == expected, (direction, changed)


def filled_twin(trees, direction="forward"):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.ma_net import twin as ma_net_torch

    twin = ma_net_torch.MANet(5, 4, 3, 4, direction)
    state_dict = torch_from_ma_net(trees)["network"]
    assert list(state_dict) == list(twin.state_dict())
    twin.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    return twin


def test_the_network_in_evaluation():
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.ma_net import twin as ma_net_torch

    definitions, trees = small_tree(second_direction="reversed")
    images = small_images()
    ours = jax.jit(lambda tree: nnx.merge(definitions.network, tree)(images))(trees["network"])
    theirs = filled_twin(trees, "reversed").eval()(torch.tensor(nchw(images)))
    assert_same_outputs(ours, theirs)
    mixed = ma_net_torch.mixed_logits(theirs).detach()
    np.testing.assert_allclose(mixed_logits(ours), mixed, **NETWORK)


def test_the_network_in_training_with_gradients_and_averages():
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    definitions, trees = small_tree()
    images, labels = small_images(), np.array([0, 3, 1])
    tensor = torch.tensor(nchw(images))
    twin = filled_twin(trees)

    @jax.jit
    def train(tree):
        def loss(tree):
            network = nnx.merge(definitions.network, tree)
            output = network(images, statistics_of(images))
            losses = [cross_entropy_loss(x, labels, jnp.ones(3)) for x in output[:2]]
            return 0.6 * losses[0] + 0.4 * losses[1], (output, split_networks(network)[1])

        return jax.grad(loss, has_aux=True)(tree)

    gradient, (output, after) = train(trees["network"])
    theirs = twin.train()(tensor)
    assert_same_outputs(output, theirs)
    target = torch.tensor(labels)
    losses = [torch.nn.functional.cross_entropy(logits, target) for logits in theirs[:2]]
    (0.6 * losses[0] + 0.4 * losses[1]).backward()
    moved = torch_from_ma_net(after)["network"]
    for key, value in twin.state_dict().items():
        if "running" in key:
            np.testing.assert_allclose(moved[key], value, **NETWORK, err_msg=key)
    ours = torch_from_ma_net({"network": gradient})["network"]
    whole = np.sqrt(sum(float(p.grad.square().sum()) for p in twin.parameters()))
    for key, parameter in twin.named_parameters():
        # Of the length of the whole gradient: what rounding makes of a tensor's own may be all.
        np.testing.assert_allclose(
            ours[key], parameter.grad, rtol=1e-3, atol=1e-4 * whole, err_msg=key
        )


def assert_same_outputs(ours, theirs):
    for name in theirs._fields:
        value, other = getattr(ours, name), getattr(theirs, name).detach()
        value = np.moveaxis(value, -1, 2) if name == "local_features" else value
        np.testing.assert_allclose(value, other, **NETWORK, err_msg=name)


def test_the_attention_is_that_of_the_quadrants():
    definitions, trees = small_tree()
    images = small_images(1)

    @jax.jit
    def run(tree):
        network = nnx.merge(definitions.network, tree)
        last = quadrants(network.shared(images))[1]
        return network(images).spatial_attention, network.local_branches[1](last)[1]

    whole, upper_right = run(trees["network"])
    assert whole.shape == (1, 4, 4)
    np.testing.assert_allclose(whole[:, :2, 2:], upper_right, **LAYER)


def test_initialisation_is_that_of_he_for_convolutions_and_pytorchs_for_the_heads():
    network = make_ma_net(**SMALL | {"width": 16}, rngs=nnx.Rngs(0))
    branch = network.local_branches[2].layer4[0]
    for kernel in (
        branch.conv1.kernel,
        network.conv1.kernel,
        network.global_branch.layer3[0].conv1.kernel,
    ):
        values = np.asarray(kernel[...])
        fan_out = np.prod(values.shape[:2]) * values.shape[3]
        np.testing.assert_allclose(values.std(), np.sqrt(2 / fan_out), rtol=0.05)
    spatial = np.asarray(branch.attention.spatial_gate.conv.kernel[...])
    np.testing.assert_allclose(spatial.std(), np.sqrt(2 / 49), rtol=0.3)
    for head in (network.local_fc, network.global_fc):
        assert 0.8 * 128**-0.5 < np.abs(head.kernel[...]).max() <= 128**-0.5


@pytest.mark.parametrize("num_devices", [2, 4])
def test_several_devices_compute_the_gradient_of_the_whole_batch(num_devices):
    """Of an attention block and a multi-scale block; a network has more of them, nothing else."""
    makers = (make_attention(width=8), make_multi_scale(width=8, second_direction="reversed"))
    definitions, trees = zip(*(nnx.split(randomised(make)) for make in makers), strict=True)
    images, weight = random_images(8, 6, 6, 8), jnp.array([8, 8, 8, 0, 8, 8, 8, 8]) / 7
    options = Diversity(diagonal="unit", reduction="mean")

    def gradient_of(trees, images, weight, axis_name):
        statistics = batch_statistics(weight, axis_name=axis_name)

        def loss(trees):
            attention, multi_scale = map(nnx.merge, definitions, trees)
            x = multi_scale(attention(images, statistics).output, statistics)
            local = jnp.stack(quadrants(x))
            pooled = jnp.stack([local[0].mean(axis=(1, 2)), local[1].mean(axis=(1, 2))])
            output = MaNetOutput(pooled[0], pooled[1], local, pooled, x[..., 0])
            terms = diversity_terms(output, weight, options, axis_name=axis_name)
            averages = [nnx.state(block, nnx.BatchStat) for block in (attention, multi_scale)]
            return sum(terms.values()), jax.tree.map(jax.lax.stop_gradient, averages)

        return jax.grad(loss, has_aux=True)(trees)

    def on_one(trees, *batch):
        gradient, averages = gradient_of(trees, *batch, "batch")
        return jax.lax.pmean(gradient, "batch"), averages

    divided, whole = PartitionSpec("batch"), PartitionSpec()
    mapped = jax.shard_map(
        on_one,
        mesh=make_mesh(jax.devices()[:num_devices]),
        in_specs=(whole, divided, divided),
        out_specs=whole,
        check_vma=False,
    )
    on_all = jax.jit(mapped)(trees, images, weight)
    expected = jax.jit(lambda *given: gradient_of(*given, None))(trees, images, weight)
    for ours, theirs in zip(*map(jax.tree.leaves, (on_all, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, **LAYER)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size_px": 100}, "image_size_px must be a multiple of 16, got 100"),
        ({"image_size_px": 0}, "image_size_px must be a multiple of 16, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"image_channels": 0}, "image_channels must be at least 1"),
        ({"num_expressions": 0}, "num_expressions must be at least 1"),
        ({"attention_reduction": -1}, "attention_reduction must be at least 1"),
        ({"second_direction": "back"}, "second_direction is 'back'; known: forward, reversed"),
    ],
)
def test_impossible_sizes_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: make_ma_net(**{"num_expressions": 7} | fields, rngs=nnx.Rngs(0)))

"""DenseNets: torchvision's parameter counts, and parity with the torch twin in both modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.networks.batch_norm import batch_statistics
from tdgan_jax.networks.densenet import (
    DEPTHS,
    DenseLayer,
    DenseNet,
    Transition,
    average_features,
    densenet_channels,
    densenet_map_size,
    max_pool_3x3_stride_2_any_size,
)
from tdgan_jax.networks.layers import average_pool_2x2, global_max_pool
from tdgan_jax.torch_weights.densenet import densenet_table, torch_from_densenet
from tdgan_jax.torch_weights.mapping import CONVOLUTION, Entry, torch_from_parameters
from tdgan_jax.torch_weights.resnet import batch_norm_table
from tests.families.ifgan.ifgan_networks import nchw, nhwc, random_images, randomised, tree_of

LAYER = {"rtol": 1e-4, "atol": 1e-5}
# Rounding of convolutions and statistics adds up over a network.
NETWORK = {"rtol": 1e-3, "atol": 1e-4}
SIZES = {"block_layers": (2, 3, 2), "growth_rate": 4, "initial_channels": 6, "bottleneck_factor": 2}


@pytest.mark.parametrize(
    ("depth", "count"),
    # Those of torchvision's networks, less the linear layer of 1,000 classes.
    [(121, 6_953_856), (161, 26_472_000), (169, 12_484_480), (201, 18_092_928)],
)
def test_parameter_counts_are_torchvisions(depth, count):
    sizes = {"growth_rate": 48, "initial_channels": 96} if depth == 161 else {}
    network = nnx.eval_shape(
        lambda: DenseNet(block_layers=DEPTHS[depth], rngs=nnx.Rngs(0), **sizes)
    )
    leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.state(network, nnx.Param)))
    assert sum(leaf.size for leaf in leaves) == count
    expected = densenet_channels(
        DEPTHS[depth], **({"growth_rate": 32, "initial_channels": 64} | sizes)
    )
    assert network.norm5.scale.shape == (expected[-1],)


@pytest.mark.parametrize(("size", "expected"), [(227, 7), (224, 7), (112, 3), (29, 1), (28, 0)])
def test_the_size_of_the_last_map(size, expected):
    assert densenet_map_size(size, 4) == expected
    if expected:
        network = nnx.eval_shape(lambda: DenseNet(rngs=nnx.Rngs(0)))
        image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        feature_map = nnx.eval_shape(lambda n, x: n(x), network, image)
        assert feature_map.shape == (1, expected, expected, 1024)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_layers": ()}, "block_layers must be numbers of at least 1, got "),
        ({"block_layers": (2, 0)}, "block_layers must be numbers of at least 1, got .2, 0"),
        ({"growth_rate": 0}, "growth_rate must be at least 1, got 0"),
        ({"initial_channels": -1}, "initial_channels must be at least 1, got -1"),
        ({"bottleneck_factor": 0}, "bottleneck_factor must be at least 1, got 0"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DenseNet(rngs=nnx.Rngs(0), **options)


def test_kernels_begin_as_torchvisions():
    kernel = DenseLayer(64, 32, 4, rngs=nnx.Rngs(0)).conv2.kernel[...]
    assert float(kernel.std()) == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (6, 9)])
def test_max_pool_of_any_size_with_its_gradient(size):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    x = random_images(2, *size, 3)
    ours, pull_back = jax.vjp(max_pool_3x3_stride_2_any_size, x)
    tensor = torch.tensor(nchw(x)).requires_grad_()
    theirs = torch.nn.functional.max_pool2d(tensor, 3, stride=2, padding=1)
    np.testing.assert_array_equal(ours, nhwc(theirs))
    cotangent = random_images(*ours.shape, seed=1)
    theirs.backward(torch.tensor(nchw(cotangent)))
    np.testing.assert_allclose(pull_back(cotangent)[0], nhwc(tensor.grad), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_average_pool_leaves_an_odd_edge_out(size):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    x = random_images(2, *size, 3)
    theirs = torch.nn.functional.avg_pool2d(torch.tensor(nchw(x)), 2, stride=2)
    np.testing.assert_allclose(average_pool_2x2(x), nhwc(theirs), rtol=1e-6, atol=1e-7)


def test_global_max_pool_gives_the_gradient_to_the_first_of_equal_values():
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    x = jnp.round(2 * random_images(2, 3, 4, 5))  # many equal values
    ours, pull_back = jax.vjp(global_max_pool, x)
    tensor = torch.tensor(nchw(x)).requires_grad_()
    theirs = torch.nn.functional.max_pool2d(tensor, (3, 4)).flatten(1)
    np.testing.assert_array_equal(ours, theirs.detach())
    cotangent = random_images(2, 5, seed=1)
    theirs.backward(torch.tensor(np.asarray(cotangent)))
    np.testing.assert_array_equal(pull_back(cotangent)[0], nhwc(tensor.grad))


def fill(module, table, network):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    state_dict = torch_from_parameters(table, tree_of(network))
    module.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    return module, lambda array: torch.tensor(nchw(array))


def statistics_of(x):
    return batch_statistics(jnp.ones(x.shape[0]), axis_name=None)


def test_a_dense_layer():
    pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.torch_weights import densenet_torch as twin

    layer = randomised(lambda rngs: DenseLayer(5, 3, 2, rngs=rngs))
    table = []
    for i in (1, 2):
        table += batch_norm_table(f"norm{i}", (f"norm{i}",))
        table.append(Entry(f"conv{i}.weight", (f"conv{i}", "kernel"), CONVOLUTION))
    theirs, tensor = fill(twin.DenseLayer(5, 3, 2), table, layer)
    x = random_images(2, 5, 6, 5)
    both = jnp.concatenate([x, layer(x, None)], axis=-1)
    np.testing.assert_allclose(both, nhwc(theirs.eval()(tensor(x)).detach()), **LAYER)
    both = jnp.concatenate([x, layer(x, statistics_of(x))], axis=-1)
    np.testing.assert_allclose(both, nhwc(theirs.train()(tensor(x)).detach()), **LAYER)


def test_a_transition_which_pools_before_it_convolves():
    pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.torch_weights import densenet_torch as twin

    transition = randomised(lambda rngs: Transition(6, rngs=rngs))
    table = batch_norm_table("norm", ("norm",))
    table.append(Entry("conv.weight", ("conv", "kernel"), CONVOLUTION))
    theirs, tensor = fill(twin.transition(6), table, transition)
    x = random_images(2, 5, 6, 6)
    ours = transition(x, statistics_of(x))
    np.testing.assert_allclose(ours, nhwc(theirs.train()(tensor(x)).detach()), **LAYER)


@pytest.mark.parametrize("size", [32, 45])
def test_the_network_in_both_modes_with_gradients_and_averages(size):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.torch_weights.densenet_torch import DenseNetFeatures
    from tdgan_jax.torch_weights.densenet_torch import average_features as twin_average

    network = randomised(lambda rngs: DenseNet(image_channels=1, rngs=rngs, **SIZES))
    theirs = DenseNetFeatures(**SIZES, image_channels=1)
    state_dict = torch_from_densenet(tree_of(network))
    assert list(state_dict) == list(theirs.state_dict())
    theirs.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    definition, *parts = nnx.split(network, nnx.Param, nnx.BatchStat)
    weights, averages = map(nnx.to_pure_dict, parts)
    image = random_images(3, size, size, 1)
    tensor = torch.tensor(nchw(image)).requires_grad_()

    evaluated = jax.jit(lambda weights, x: nnx.merge(definition, weights, averages)(x))
    theirs_evaluated = theirs.eval()(tensor).detach()
    np.testing.assert_allclose(evaluated(weights, image), nhwc(theirs_evaluated), **NETWORK)
    np.testing.assert_allclose(
        average_features(evaluated(weights, image)), twin_average(theirs_evaluated), **NETWORK
    )

    def train(weights, x):
        network = nnx.merge(definition, weights, averages)
        output = network(x, statistics_of(x))
        return output, nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))

    @jax.jit
    def gradients(weights, x, cotangent):
        output, pull_back, after = jax.vjp(train, weights, x, has_aux=True)
        return output, after, pull_back(cotangent)

    cotangent = random_images(*theirs_evaluated.permute(0, 2, 3, 1).shape, seed=1)
    output, after, (weight_gradient, image_gradient) = gradients(weights, image, cotangent)
    theirs_output = theirs.train()(tensor)
    theirs_output.backward(torch.tensor(nchw(cotangent)))
    np.testing.assert_allclose(output, nhwc(theirs_output.detach()), **NETWORK)
    assert_close(image_gradient, nhwc(tensor.grad), "image")
    table = [e for e in densenet_table(weights) if "running" not in e.key]
    expected = dict(theirs.named_parameters())
    for key, value in torch_from_parameters(table, weight_gradient).items():
        assert_close(value, expected[key].grad.numpy(), key)
    averages_table = [e for e in densenet_table(weights) if "running" in e.key]
    for key, value in torch_from_parameters(averages_table, after).items():
        np.testing.assert_allclose(value, theirs.state_dict()[key], **NETWORK, err_msg=key)


def assert_close(ours, theirs, name: str) -> None:
    atol = 1e-3 * max(np.abs(theirs).max(), 1e-2)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=atol, err_msg=name)

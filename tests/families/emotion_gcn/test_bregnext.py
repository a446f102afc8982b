"""BReG-NeXt: the golden layer, sizes, and parity with the torch twin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.families.emotion_gcn.bregnext import BoundedShortcut, BregNext, ResidualLayer
from tdgan_jax.families.emotion_gcn.weights import bregnext_table, residual_layer_table
from tdgan_jax.networks.batch_norm import batch_statistics
from tdgan_jax.torch_weights.mapping import parameters_from_torch, torch_from_parameters
from tdgan_jax.torch_weights.resnet import with_counters
from tests import golden_emotion_gcn as golden
from tests.families.emotion_gcn.emotion_networks import nchw, nhwc

LAYER = {"rtol": 1e-4, "atol": 1e-5}
# Rounding of convolutions and statistics adds up over a network.
NETWORK = {"rtol": 1e-3, "atol": 1e-4}


def filled(make, table_of):
    """A network with golden weights, and its state dict."""
    network = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    definition, state = nnx.split(network)
    shapes = nnx.to_pure_dict(state)
    table = table_of(shapes)
    zeros = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes)
    keys = with_counters(torch_from_parameters(table, zeros))
    state_dict = golden.filled_state_dict({key: value.shape for key, value in keys.items()})
    tree = parameters_from_torch(table, state_dict, shapes)
    return nnx.merge(definition, jax.tree.map(jnp.asarray, tree)), state_dict


def layer_table(shapes):
    del shapes
    return [e._replace(key=e.key[1:]) for e in residual_layer_table("", ())]


def loaded_twin(module, state_dict):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    assert list(module.state_dict()) == list(state_dict)
    module.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    return module


def statistics_of(x):
    return batch_statistics(jnp.ones(x.shape[0]), axis_name=None)


def random_maps(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_the_golden_layer():
    layer, state_dict = filled(
        lambda rngs: ResidualLayer(64, 128, stride=2, rngs=rngs), layer_table
    )
    trained = [v.size for k, v in state_dict.items() if "running" not in k and "num_" not in k]
    assert sum(trained) == 221_826
    x = jnp.asarray(nhwc(golden.values(9008, (2, 64, 8, 8)) - np.float32(0.5)))
    output = nchw(layer(x, None))
    assert output.shape == (2, 128, 4, 4)
    assert output.mean() == pytest.approx(-0.01565641, rel=1e-5)
    assert output.std(ddof=1) == pytest.approx(0.2370468, rel=1e-5)
    np.testing.assert_allclose(
        output.flat[:3], [-0.02950561, 0.2612422, 0.2404387], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 4, 1), (4, 8, 2), (2, 6, 1)])
def test_a_layer_in_training_with_all_gradients(inputs, outputs, stride):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.emotion_gcn import twin

    layer, state_dict = filled(
        lambda rngs: ResidualLayer(inputs, outputs, stride=stride, rngs=rngs), layer_table
    )
    theirs = loaded_twin(twin.ResidualLayer(inputs, outputs, stride), state_dict).train()
    definition, *parts = nnx.split(layer, nnx.Param, nnx.BatchStat)
    weights, averages = map(nnx.to_pure_dict, parts)
    x = random_maps(3, 6, 4, inputs)
    cotangent = random_maps(3, 6 // stride, 4 // stride, outputs, seed=1)

    @jax.jit
    def run(weights, x):
        apply = lambda weights, x: nnx.merge(definition, weights, averages)(x, statistics_of(x))  # noqa: E731
        output, pull_back = jax.vjp(apply, weights, x)
        return output, *pull_back(cotangent)

    output, weight_gradient, x_gradient = run(weights, x)
    tensor = torch.tensor(nchw(x)).requires_grad_()
    theirs_output = theirs(tensor)
    theirs_output.backward(torch.tensor(nchw(cotangent)))
    np.testing.assert_allclose(output, nhwc(theirs_output.detach()), **LAYER)
    np.testing.assert_allclose(x_gradient, nhwc(tensor.grad), rtol=1e-3, atol=1e-4)
    expected = {key: value.grad.numpy() for key, value in theirs.named_parameters()}
    table = [e for e in layer_table(None) if "running" not in e.key]
    gradients = torch_from_parameters(table, weight_gradient)
    assert gradients.keys() == expected.keys()
    for key, value in gradients.items():
        # The norm after it takes no notice of the first convolution's bias: rounding alone.
        np.testing.assert_allclose(value, expected[key], rtol=1e-3, atol=1e-4, err_msg=key)


def test_the_shortcut_is_never_the_identity():
    shortcut = BoundedShortcut(3, 3, stride=1)
    x = jnp.array([-50.0, -1.0, 0.0, 1.0, 50.0]).reshape(1, 1, 5, 1) * jnp.ones((1, 1, 1, 3))
    root = 2**0.5
    np.testing.assert_allclose(shortcut(x), np.arctan(np.asarray(x) / root) / root, rtol=1e-6)
    assert float(jnp.abs(shortcut(x)).max()) < np.pi / 2 / root


def test_the_network_in_both_modes():
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    from tdgan_jax.families.emotion_gcn import twin

    sizes = {"stage_layers": (1, 2, 1), "stage_widths": (4, 6, 10)}
    network, state_dict = filled(
        lambda rngs: BregNext(image_channels=1, rngs=rngs, **sizes), bregnext_table
    )
    theirs = loaded_twin(twin.BregNext(None, **sizes, image_channels=1), state_dict)
    image = random_maps(3, 12, 12, 1)
    tensor = torch.tensor(nchw(image))
    with torch.no_grad():
        np.testing.assert_allclose(network(image), theirs.eval().features(tensor), **NETWORK)
        trained = network(image, statistics_of(image))
        np.testing.assert_allclose(trained, theirs.train().features(tensor), **NETWORK)
    after = torch_from_parameters(
        bregnext_table(nnx.to_pure_dict(nnx.state(network))), nnx.to_pure_dict(nnx.state(network))
    )
    for key, value in theirs.state_dict().items():
        if "running" in key:
            np.testing.assert_allclose(after[key], value, **NETWORK, err_msg=key)


def test_the_full_size_has_the_shapes_of_the_specs_table():
    network = nnx.eval_shape(lambda: BregNext(rngs=nnx.Rngs(0)))
    image = jax.ShapeDtypeStruct((2, 112, 112, 3), jnp.float32)
    groups = network.groups
    assert [len(group) for group in groups] == [7, 1, 8, 1, 7]
    assert nnx.eval_shape(lambda n, x: n(x), network, image).shape == (2, 128)
    maps = jax.ShapeDtypeStruct((2, 112, 112, 32), jnp.float32)
    after = nnx.eval_shape(lambda layer, x: layer(x, None), groups[1][0], maps)
    assert after.shape == (2, 56, 56, 64)


def test_the_first_weights_are_the_released_programs():
    layer = ResidualLayer(64, 64, stride=1, rngs=nnx.Rngs(0))
    kernel, bias = layer.conv0.kernel[...], layer.conv0.bias[...]
    bound = (6 / (9 * 64)) ** 0.5
    assert 0.99 * bound < float(jnp.abs(kernel).max()) <= bound
    assert 0.8 / 24 < float(jnp.abs(bias).max()) <= 1 / 24
    assert float(layer.shortcut.a[0]) == float(layer.shortcut.c[0]) == 1
    first = BregNext(stage_layers=(1,), stage_widths=(32,), rngs=nnx.Rngs(0)).conv0.kernel[...]
    assert 0.98 * 27**-0.5 < float(jnp.abs(first).max()) <= 27**-0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stage_layers": (1, 0, 1)}, "stage_layers must be numbers of at least 1, got .1, 0, 1"),
        ({"stage_layers": (1, 1)}, "stage_widths must be as many as stage_layers, 2, got .32, 64"),
        ({"stage_widths": (32, 33, 64)}, "stage_widths must begin .* even steps .*, got .32, 33"),
        ({"stage_widths": (32, 16, 16)}, "stage_widths must begin with at least 1"),
        ({"stage_widths": (0, 2, 4)}, "stage_widths must begin with at least 1"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BregNext(rngs=nnx.Rngs(0), **options)

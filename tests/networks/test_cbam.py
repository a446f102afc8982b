"""Attention modules: golden numbers (spec ESR and MA-Net, E.1), the torch twin, and their parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.errors import UserError
from tdgan_jax.networks.batch_norm import batch_statistics
from tdgan_jax.networks.cbam import CBAM
from tdgan_jax.networks.execution import set_execution
from tdgan_jax.networks.layers import max_along, max_pool_2x2
from tdgan_jax.torch_weights.cbam import attention_reduction, cbam_table
from tdgan_jax.torch_weights.mapping import parameters_from_torch, torch_from_parameters
from tdgan_jax.torch_weights.resnet import with_counters
from tests.families.ifgan.ifgan_networks import nchw, nhwc, random_images, randomised, tree_of
from tests.golden_diversified import assert_golden, golden_state_dict, shapes_of, zeros_of
from tests.golden_tdgan import golden_tensor

LAYER = {"rtol": 1e-4, "atol": 1e-5}
TABLE = [entry._replace(key=entry.key.lstrip(".")) for entry in cbam_table("", ())]


@pytest.fixture
def golden():
    definition, shapes = shapes_of(lambda rngs: CBAM(32, rngs=rngs))
    keys = with_counters(torch_from_parameters(TABLE, zeros_of(shapes)))
    weights = golden_state_dict(0, keys)
    return nnx.merge(definition, parameters_from_torch(TABLE, weights, shapes))


def golden_input():
    return jnp.asarray(golden_tensor(9007, (2, 32, 6, 6)).transpose(0, 2, 3, 1) - 0.5)


def statistics_of(x):
    return batch_statistics(jnp.ones(x.shape[0]), axis_name=None)


def test_number_of_parameters(golden):
    leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.state(golden, nnx.Param)))
    assert sum(leaf.size for leaf in leaves) == 262


def test_golden_numbers_in_evaluation(golden):
    attended = golden(golden_input())
    assert_golden(
        nchw(attended.output),
        mean=-0.003207294,
        std=0.06850456,
        first=(-0.0796221, -0.06901866, 0.001947566),
    )
    np.testing.assert_allclose(
        attended.channel_attention[0, :3], (0.4591734, 0.4540863, 0.411855), rtol=1e-6
    )
    assert_golden(
        attended.spatial_attention,
        mean=0.4774492,
        std=0.01416833,
        first=(0.5036042, 0.5025919, 0.4987625),
    )


def test_golden_numbers_in_training(golden):
    x = golden_input()
    attended = golden(x, statistics_of(x))
    assert_golden(
        nchw(attended.output),
        mean=-0.003791496,
        std=0.07250768,
        first=(-0.1212484, -0.1040929, 0.002820624),
    )
    np.testing.assert_allclose(
        attended.channel_attention[0, :3], (0.4591734, 0.4540863, 0.411855), rtol=1e-6
    )
    assert_golden(
        attended.spatial_attention,
        mean=0.4807869,
        std=0.1576573,
        first=(0.7668875, 0.7580013, 0.7223485),
    )
    norm = golden.spatial_gate.norm
    np.testing.assert_allclose(norm.mean[...], [-0.09479704], rtol=1e-6)
    np.testing.assert_allclose(norm.variance[...], [0.7776674], rtol=1e-6)


@pytest.mark.parametrize("family", ["esr", "ma_net"])
def test_parity_with_the_twins_gradients_and_averages_included(family):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    if family == "esr":
        from tdgan_jax.families.esr import twin
    else:
        from tdgan_jax.families.ma_net import twin
    module: CBAM = randomised(lambda rngs: CBAM(8, reduction=4, rngs=rngs))
    theirs = twin.CBAM(8, 4).train()
    state_dict = with_counters(torch_from_parameters(TABLE, tree_of(module)))
    assert list(state_dict) == list(theirs.state_dict())
    theirs.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    x, cotangent = random_images(3, 5, 7, 8), random_images(3, 5, 7, 8, seed=1)
    definition, *parts = nnx.split(module, nnx.Param, nnx.BatchStat)
    weights, averages = map(nnx.to_pure_dict, parts)

    def run(weights, x):
        network = nnx.merge(definition, weights, averages)
        attended = network(x, statistics_of(x))
        return attended.output, (attended, nnx.to_pure_dict(nnx.state(network)))

    ours, pull_back, (attended, after) = jax.vjp(run, weights, x, has_aux=True)
    tensor = torch.tensor(nchw(x)).requires_grad_()
    output, by_channel, by_position = theirs(tensor)
    np.testing.assert_allclose(ours, nhwc(output), **LAYER)
    np.testing.assert_allclose(attended.channel_attention, by_channel.detach(), **LAYER)
    np.testing.assert_allclose(attended.spatial_attention, by_position[:, 0].detach(), **LAYER)
    output.backward(torch.tensor(nchw(cotangent)))
    gradient, x_gradient = pull_back(cotangent)
    np.testing.assert_allclose(x_gradient, nhwc(tensor.grad), **LAYER)
    table = [entry for entry in TABLE if "running" not in entry.key]
    expected = dict(theirs.named_parameters())
    for key, value in torch_from_parameters(table, gradient).items():
        np.testing.assert_allclose(value, expected[key].grad, **LAYER, err_msg=key)
    for key, value in torch_from_parameters(TABLE, after).items():
        np.testing.assert_allclose(value, theirs.state_dict()[key], **LAYER, err_msg=key)


def test_padding_changes_nothing():
    module: CBAM = randomised(lambda rngs: CBAM(8, rngs=rngs))
    definition, state = nnx.split(module)
    x = random_images(4, 5, 5, 8)
    padded = batch_statistics(jnp.array([4, 4, 4, 0]) / 3, axis_name=None)
    ours = nnx.merge(definition, jax.tree.map(jnp.array, state))(x, padded)
    alone = module(x[:3], statistics_of(x[:3]))
    np.testing.assert_allclose(ours.output[:3], alone.output, **LAYER)


def test_attentions_stay_float32_in_half_precision():
    module: CBAM = randomised(lambda rngs: CBAM(8, rngs=rngs))
    exact = module(x := random_images(2, 5, 5, 8))
    set_execution([module], precision="bfloat16")
    rounded = module(x.astype(jnp.bfloat16))
    assert rounded.output.dtype == jnp.bfloat16
    for ours, theirs in zip(rounded[1:], exact[1:], strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, theirs, atol=1e-2)


def test_a_narrow_map_keeps_one_hidden_unit():
    definition, shapes = shapes_of(lambda rngs: CBAM(4, rngs=rngs))
    assert shapes["channel_gate"]["squeeze"]["kernel"].shape == (4, 1)
    del definition


def test_initialisation_is_pytorchs():
    tree = tree_of(CBAM(64, rngs=nnx.Rngs(0)))
    gate = tree["channel_gate"]
    for layer, fan_in in (("squeeze", 64), ("excite", 4)):
        for name in ("kernel", "bias"):
            largest = np.abs(gate[layer][name]).max()
            assert 0.3 * fan_in**-0.5 < largest <= fan_in**-0.5, (layer, name)
    kernel = np.abs(tree["spatial_gate"]["conv"]["kernel"]).max()
    assert 0.8 * 98**-0.5 < kernel <= 98**-0.5
    for name, value in {"scale": 1, "bias": 0, "mean": 0, "variance": 1}.items():
        np.testing.assert_array_equal(tree["spatial_gate"]["norm"][name], [value])


@pytest.mark.parametrize("size", [6, 7])
def test_max_pool_with_its_gradient(size):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    # Few values: many windows hold their maximum twice.
    x = jnp.round(random_images(2, size, 8, 3) * 2)
    ours, pull_back = jax.vjp(max_pool_2x2, x)
    tensor = torch.tensor(nchw(x)).requires_grad_()
    theirs = torch.nn.functional.max_pool2d(tensor, 2)
    np.testing.assert_array_equal(ours, nhwc(theirs))
    cotangent = random_images(*ours.shape, seed=1)
    theirs.backward(torch.tensor(nchw(cotangent)))
    np.testing.assert_array_equal(pull_back(cotangent)[0], nhwc(tensor.grad))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_maximum_whose_first_place_takes_the_gradient(axis):
    torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")
    x = jnp.round(random_images(4, 5, 6) * 2)
    ours, pull_back = jax.vjp(lambda x: max_along(x, axis), x)
    tensor = torch.tensor(np.array(x)).requires_grad_()
    theirs = tensor.max(dim=axis).values
    np.testing.assert_array_equal(ours, theirs.detach())
    cotangent = random_images(*ours.shape, seed=1)
    theirs.backward(torch.tensor(np.array(cotangent)))
    np.testing.assert_array_equal(pull_back(cotangent)[0], tensor.grad)


def squeezes(*shapes):
    key = "cbam{}.ChannelGate.mlp.1.weight"
    return {key.format(i): np.zeros(shape, np.float32) for i, shape in enumerate(shapes)}


@pytest.mark.parametrize(
    ("shapes", "reduction"),
    [
        ([(4, 64), (8, 128)], 16),
        ([(1, 8), (1, 24)], 16),
        ([(8, 64), (16, 128)], 8),
        ([(2, 50), (3, 75)], 19),  # 17 to 25, and 19 to 25
        ([(1, 64)], 33),
        ([], None),
    ],
)
def test_the_reduction_stands_in_the_shapes(shapes, reduction):
    assert attention_reduction([squeezes(*shapes)]) == reduction
    for hidden, channels in shapes:
        assert max(1, channels // reduction) == hidden


def test_shapes_of_no_common_reduction_are_refused():
    with pytest.raises(UserError, match="no common reduction"):
        attention_reduction([squeezes((4, 64)), squeezes((16, 128))])

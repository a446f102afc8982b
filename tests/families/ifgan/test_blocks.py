"""Batch norm, attention and the U-Net's units against PyTorch, gradients and averages included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.families.ifgan import weights as tables
from tdgan_jax.families.ifgan.conditional_gan import Downsampling, Upsampling, kernel_init
from tdgan_jax.networks.attention import SelfAttention, attend, attend_in_chunks
from tdgan_jax.networks.batch_norm import BatchNorm, batch_statistics
from tdgan_jax.torch_weights.mapping import torch_from_parameters
from tdgan_jax.torch_weights.resnet import batch_norm_table
from tests.families.ifgan.ifgan_networks import nchw, nhwc, random_images, randomised, tree_of

torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")

from tdgan_jax.families.ifgan import twin  # noqa: E402

LAYER = {"rtol": 1e-4, "atol": 1e-5}


def fill(module, table, network):
    state_dict = torch_from_parameters(table, tree_of(network))
    module.load_state_dict(
        {key.lstrip("."): torch.tensor(value) for key, value in state_dict.items()}
    )
    return module


def statistics_of(x, axis_name=None):
    return batch_statistics(jnp.ones(x.shape[0]), axis_name=axis_name)


@pytest.fixture
def batch_norm() -> BatchNorm:
    return randomised(lambda rngs: BatchNorm(5, rngs=rngs))


def test_batch_norm_in_training_with_gradients_and_averages(batch_norm):
    theirs = fill(torch.nn.BatchNorm2d(5), batch_norm_table("", ()), batch_norm)
    # Far from 0, where a difference of mean squares would lose the variance.
    x = 30 + random_images(3, 4, 6, 5)
    definition, *parts = nnx.split(batch_norm, nnx.Param, nnx.BatchStat)
    weights, averages = map(nnx.to_pure_dict, parts)

    def run(weights, x):
        network = nnx.merge(definition, weights, averages)
        return network(x, statistics_of(x)), nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))

    ours, pull_back, after = jax.vjp(run, weights, x, has_aux=True)
    tensor = torch.tensor(nchw(x)).requires_grad_()
    output = theirs.train()(tensor)
    np.testing.assert_allclose(ours, nhwc(output), **LAYER)
    np.testing.assert_allclose(after["mean"], theirs.running_mean, rtol=1e-5)
    np.testing.assert_allclose(after["variance"], theirs.running_var, rtol=1e-5)

    cotangent = random_images(*x.shape, seed=1)
    output.backward(torch.tensor(nchw(cotangent)))
    weight_gradient, x_gradient = pull_back(cotangent)
    np.testing.assert_allclose(x_gradient, nhwc(tensor.grad), **LAYER)
    np.testing.assert_allclose(weight_gradient["scale"], theirs.weight.grad, **LAYER)
    np.testing.assert_allclose(weight_gradient["bias"], theirs.bias.grad, **LAYER)


def test_batch_norm_in_evaluation_keeps_its_averages(batch_norm):
    theirs = fill(torch.nn.BatchNorm2d(5), batch_norm_table("", ()), batch_norm).eval()
    before = jax.tree.map(np.array, tree_of(batch_norm))
    x = random_images(3, 4, 6, 5)
    np.testing.assert_allclose(batch_norm(x, None), nhwc(theirs(torch.tensor(nchw(x)))), **LAYER)
    assert jax.tree.all(jax.tree.map(np.array_equal, before, tree_of(batch_norm)))


def test_groups_are_calls_one_after_the_other(batch_norm):
    definition, state = nnx.split(batch_norm)
    first, second = random_images(4, 3, 3, 5), 2 + random_images(4, 3, 3, 5, seed=1)
    by_calls = nnx.merge(definition, jax.tree.map(jnp.array, state))
    expected = [by_calls(x, statistics_of(x)) for x in (first, second)]
    statistics = statistics_of(first)._replace(num_groups=2, remembered_groups=(0, 1))
    np.testing.assert_allclose(
        batch_norm(jnp.concatenate([first, second]), statistics),
        jnp.concatenate(expected),
        **LAYER,
    )
    for name, value in tree_of(by_calls).items():
        np.testing.assert_allclose(tree_of(batch_norm)[name], value, rtol=1e-5, err_msg=name)


def test_only_remembered_groups_move_the_averages(batch_norm):
    before = jax.tree.map(np.array, tree_of(batch_norm))
    x = random_images(6, 3, 3, 5)
    batch_norm(x, statistics_of(x[:3])._replace(num_groups=2, remembered_groups=()))
    assert jax.tree.all(jax.tree.map(np.array_equal, before, tree_of(batch_norm)))


def test_padding_counts_neither_in_the_statistics_nor_in_the_averages(batch_norm):
    definition, tree = nnx.graphdef(batch_norm), tree_of(batch_norm)
    x, cotangent = random_images(5, 3, 3, 5), random_images(5, 3, 3, 5, seed=1)

    def run(x, statistics):
        network = nnx.merge(definition, tree)
        return network(x, statistics), nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))

    expected, pull_back, averages = jax.vjp(lambda x: run(x, statistics_of(x)), x[:3], has_aux=True)
    statistics = batch_statistics(jnp.array([5, 5, 5, 0, 0]) / 3, axis_name=None)
    padded, pull_back_padded, padded_averages = jax.vjp(
        lambda x: run(x, statistics), x, has_aux=True
    )
    np.testing.assert_allclose(padded[:3], expected, **LAYER)
    for name, value in averages.items():
        np.testing.assert_allclose(padded_averages[name], value, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(
        pull_back_padded(cotangent.at[3:].set(0))[0][:3], pull_back(cotangent[:3])[0], **LAYER
    )


@pytest.mark.parametrize("has_output_convolution", [False, True])
def test_self_attention_in_chunks_with_gradients(has_output_convolution):
    attention: SelfAttention = randomised(
        lambda rngs: SelfAttention(
            16,
            chunk_size=10,  # 25 positions: the last chunk is not full
            has_output_convolution=has_output_convolution,
            kernel_init=kernel_init,
            rngs=rngs,
        )
    )
    theirs = fill(
        twin.SelfAttention(16, has_output_convolution=has_output_convolution),
        tables.attention_table(tree_of(attention)),
        attention,
    )
    definition, state = nnx.split(attention)
    x, cotangent = 2 * random_images(2, 5, 5, 16), random_images(2, 5, 5, 16, seed=1)
    ours, pull_back = jax.vjp(lambda state, x: nnx.merge(definition, state)(x), state, x)
    tensor = torch.tensor(nchw(x)).requires_grad_()
    output = theirs(tensor)
    output.backward(torch.tensor(nchw(cotangent)))
    np.testing.assert_allclose(ours, nhwc(output), **LAYER)
    gradient, x_gradient = pull_back(cotangent)
    np.testing.assert_allclose(x_gradient, nhwc(tensor.grad), **LAYER)
    gradient = nnx.to_pure_dict(gradient)
    expected = {key: value.grad.numpy() for key, value in theirs.named_parameters()}
    for key, value in torch_from_parameters(tables.attention_table(gradient), gradient).items():
        # The softmax takes no notice of the key's bias: that gradient is rounding alone.
        np.testing.assert_allclose(value, expected[key], rtol=1e-3, atol=1e-5, err_msg=key)


def test_chunks_compute_what_the_whole_map_does():
    query, key, value = (random_images(2, 7, c, seed=c) for c in (3, 4, 5))
    key = key[..., :3]
    whole = attend(query, key, value)
    for chunk_size in (3, 7):
        np.testing.assert_allclose(
            attend_in_chunks(query, key, value, chunk_size=chunk_size), whole, **LAYER
        )


def test_attention_maps_are_the_rows_of_the_attention():
    attention = randomised(lambda rngs: SelfAttention(16, kernel_init=kernel_init, rngs=rngs))
    theirs = fill(twin.SelfAttention(16), tables.attention_table(tree_of(attention)), attention)
    x = 2 * random_images(2, 4, 6, 16)
    maps = attention.maps(x, jnp.array([[0, 0], [3, 1]]))
    rows = theirs.attention(torch.tensor(nchw(x))).detach().numpy()[:, [0, 3 * 6 + 1]]
    np.testing.assert_allclose(maps, rows.reshape(2, 2, 4, 6), **LAYER)
    np.testing.assert_allclose(maps.sum(axis=(2, 3)), 1.0, rtol=1e-5)


def test_forward_and_backward_hold_less_than_one_attention_map_a_sample():
    side, channels, batch = 56, 8, 2
    attention = nnx.eval_shape(
        lambda: SelfAttention(channels, kernel_init=kernel_init, rngs=nnx.Rngs(0))
    )
    definition, state = nnx.split(attention)
    x = jax.ShapeDtypeStruct((batch, side, side, channels), jnp.float32)

    def loss(state, x):
        return jnp.square(nnx.merge(definition, state)(x)).sum()

    compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(state, x).compile()
    one_map_bytes = 4 * (side * side) ** 2
    assert compiled.memory_analysis().temp_size_in_bytes < 0.5 * batch * one_map_bytes


@pytest.mark.parametrize("stride", [1, 2])
def test_downsampling(stride):
    unit = randomised(
        lambda rngs: Downsampling(3, 5, stride=stride, has_norm=True, use_bias=False, rngs=rngs)
    )
    theirs = fill(
        twin.Down(3, 5, stride, has_norm=True, bias=False),
        [e._replace(key=e.key[1:]) for e in tables._down_table("", (), tree_of(unit))],
        unit,
    )
    x = random_images(2, 8, 8, 3)
    np.testing.assert_allclose(
        unit(x, statistics_of(x)), nhwc(theirs(torch.tensor(nchw(x)))), **LAYER
    )


@pytest.mark.parametrize("is_last", [False, True])
def test_upsampling(is_last):
    unit = randomised(lambda rngs: Upsampling(3, 5, is_last=is_last, rngs=rngs))
    theirs = fill(
        twin.Up(3, 5, is_last),
        [e._replace(key=e.key[1:]) for e in tables._up_table("", (), tree_of(unit))],
        unit,
    )
    x = random_images(2, 4, 4, 3)
    np.testing.assert_allclose(
        unit(x, statistics_of(x)), nhwc(theirs(torch.tensor(nchw(x)))), **LAYER
    )

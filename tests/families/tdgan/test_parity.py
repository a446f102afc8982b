"""Layers, blocks and networks against the torch twin with the same random weights.

The twin is filled by the mapping tables, so that these tests check the tables too.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.families.tdgan import weights as tables
from tdgan_jax.families.tdgan.networks import Decoder, Discriminator, make_tdgan, split_networks
from tdgan_jax.networks.inception import ConvNormReLU, Encoder, Head, InceptionResidualBlock
from tdgan_jax.networks.layers import conv_transpose_4x4_stride_2, max_pool_3x3_stride_2
from tdgan_jax.torch_weights import inception
from tdgan_jax.torch_weights.mapping import torch_from_parameters

torch = pytest.importorskip("torch", reason="the torch twin needs PyTorch")

from tdgan_jax.torch_weights import tdgan_torch as twin  # noqa: E402

LAYER = {"rtol": 1e-4, "atol": 1e-5}
IMAGE_SIZE_PX, WIDTH, NOISE_CHANNELS = 32, 0.25, 6


def to_torch(array) -> "torch.Tensor":
    return torch.tensor(np.asarray(array).transpose(0, 3, 1, 2).copy())


def to_numpy(tensor: "torch.Tensor") -> np.ndarray:
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def fill(module: "torch.nn.Module", table, network: nnx.Module) -> "torch.nn.Module":
    """Loads our parameters strictly into a twin and switches dropout off."""
    state_dict = torch_from_parameters(table, nnx.to_pure_dict(nnx.state(network)))
    module.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    return module.eval()


def random_input(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.fixture(scope="module")
def networks():
    return make_tdgan(
        num_identities=5,
        num_expressions=7,
        image_size_px=IMAGE_SIZE_PX,
        width_multiplier=WIDTH,
        noise_channels=NOISE_CHANNELS,
        rngs=nnx.Rngs(3),
    )


@pytest.mark.parametrize("size", [2, 8, 14])
def test_max_pool_with_its_gradient(size):
    x = random_input(2, size, size, 3)
    ours, pull_back = jax.vjp(max_pool_3x3_stride_2, x)
    tensor = to_torch(x).requires_grad_()
    theirs = torch.nn.functional.max_pool2d(tensor, 3, stride=2, ceil_mode=True)
    np.testing.assert_array_equal(ours, to_numpy(theirs))
    cotangent = random_input(*ours.shape, seed=1)
    theirs.backward(to_torch(cotangent))
    np.testing.assert_allclose(pull_back(cotangent)[0], to_numpy(tensor.grad), **LAYER)


@pytest.mark.parametrize(("size", "in_channels", "out_channels"), [(1, 2, 3), (5, 3, 4)])
def test_transposed_convolution_with_its_gradients(size, in_channels, out_channels):
    x = random_input(2, size, size, in_channels)
    kernel = random_input(4, 4, in_channels, out_channels, seed=1)
    ours, pull_back = jax.vjp(conv_transpose_4x4_stride_2, x, kernel)
    tensor = to_torch(x).requires_grad_()
    weight = torch.tensor(np.asarray(kernel).transpose(2, 3, 0, 1).copy()).requires_grad_()
    theirs = torch.nn.functional.conv_transpose2d(tensor, weight, stride=2, padding=1)
    np.testing.assert_allclose(ours, to_numpy(theirs), **LAYER)
    cotangent = random_input(*ours.shape, seed=2)
    theirs.backward(to_torch(cotangent))
    x_gradient, kernel_gradient = pull_back(cotangent)
    np.testing.assert_allclose(x_gradient, to_numpy(tensor.grad), **LAYER)
    weight_gradient = weight.grad.numpy().transpose(2, 3, 0, 1)
    np.testing.assert_allclose(kernel_gradient, weight_gradient, **LAYER)


def without_prefix(table):
    return [entry._replace(key=entry.key.lstrip(".")) for entry in table]


def test_unit(networks):
    unit: ConvNormReLU = networks.face_encoder.conv2
    unit.norm.scale[...] = random_input(*unit.norm.scale.shape)
    unit.norm.bias[...] = random_input(*unit.norm.bias.shape, seed=1)
    theirs = fill(twin.ConvIN(8, 16, 5), without_prefix(inception._unit("", ())), unit)
    x = random_input(2, 6, 6, 8)
    np.testing.assert_allclose(unit(x), to_numpy(theirs(to_torch(x))), **LAYER)


def test_inception_residual_block(networks):
    block: InceptionResidualBlock = networks.face_encoder.blocks[1]
    table = without_prefix(inception._inception_residual_block("", ()))
    theirs = fill(twin.InceptionResidualBlock(16, 4), table, block)
    x = random_input(2, 6, 6, 16)
    np.testing.assert_allclose(block(x), to_numpy(theirs(to_torch(x))), **LAYER)


def test_encoder(networks):
    encoder: Encoder = networks.expression_encoder
    theirs = fill(twin.Encoder(width_multiplier=WIDTH), tables.encoder_table(), encoder)
    image = jax.nn.sigmoid(random_input(3, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1))
    np.testing.assert_allclose(encoder(image), to_numpy(theirs(to_torch(image))), **LAYER)


def test_head_flattens_in_torch_order(networks):
    head: Head = networks.expression_head
    theirs = fill(twin.Head(7, IMAGE_SIZE_PX, WIDTH), tables.head_table(), head)
    feature = random_input(3, 2, 2, 32)
    np.testing.assert_allclose(head(feature), theirs(to_torch(feature)).detach(), **LAYER)


def test_decoder(networks):
    decoder: Decoder = networks.decoder
    theirs = fill(
        twin.Decoder(width_multiplier=WIDTH, noise_channels=NOISE_CHANNELS),
        tables.decoder_table(),
        decoder,
    )
    expression, face, noise = (
        random_input(2, 2, 2, channels, seed=i) for i, channels in enumerate((32, 32, 6))
    )
    ours = decoder(expression, face, noise)
    image = theirs(to_torch(expression), to_torch(face), to_torch(noise))
    np.testing.assert_allclose(ours, to_numpy(image), **LAYER)


@pytest.mark.parametrize("name", ["face_discriminator", "expression_discriminator"])
def test_discriminator(networks, name):
    discriminator: Discriminator = getattr(networks, name)
    num_classes = 6 if name == "face_discriminator" else 7
    theirs = fill(
        twin.Discriminator(num_classes, image_size_px=IMAGE_SIZE_PX, width_multiplier=WIDTH),
        tables.discriminator_table(),
        discriminator,
    )
    image = jax.nn.sigmoid(random_input(3, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1))
    ours, judgement = discriminator(image), theirs(to_torch(image))
    np.testing.assert_allclose(ours.feature, to_numpy(judgement.feature), **LAYER)
    np.testing.assert_allclose(ours.logits, judgement.logits.detach(), **LAYER)


def test_initialisation_has_the_released_distributions(networks):
    kernels = split_networks(networks)[1]
    first = np.asarray(kernels["decoder"]["upsamplings"][0]["conv"]["kernel"])
    assert abs(first.std() - 0.02) < 0.002
    conv = np.asarray(kernels["face_encoder"]["conv3"]["conv"]["kernel"])
    bound = (16 * 25) ** -0.5
    assert bound * 0.95 < np.abs(conv).max() <= bound
    assert not np.asarray(kernels["expression_head"]["fc1"]["bias"]).any()

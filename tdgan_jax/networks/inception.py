"""TDGAN's encoder and head (Xie, Hu, Chen, IEEE TCSVT 31(6), 2021; spec TDGAN 2).

The plain classifier is made of them too. Images are float32 `[N, S, S, channels]` in [0, 1];
features are `[N, S/16, S/16, C]`.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.errors import UserError
from tdgan_jax.networks.layers import (
    Initializer,
    InstanceNorm,
    convolve,
    max_pool_3x3_stride_2,
    per_example_dropout,
    uniform_fan_in,
)

INCEPTION_RESIDUAL_SCALE = 0.17
ENCODER_NORM_EPSILON = 1e-3
ENCODER_STRIDE = 16  # image size over feature size


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, *, use_bias: bool, rngs: nnx.Rngs
) -> nnx.Conv:
    """Stride-1 convolution with zero padding that keeps the size, PyTorch's initialisation."""
    init = uniform_fan_in(in_channels * kernel_size**2)
    return nnx.Conv(
        in_channels,
        out_channels,
        (kernel_size, kernel_size),
        padding=kernel_size // 2,
        use_bias=use_bias,
        kernel_init=init,
        bias_init=init,
        conv_general_dilated=convolve,
        rngs=rngs,
    )


def released_normal(fan_in: int, released_fan_in: int) -> Initializer:
    """N(0, 0.02^2) at the released sizes, the same gain at others.

    The released 0.02 suits layers of hundreds or thousands of inputs; with it a narrow variant's
    signal would all but vanish layer by layer.
    """
    return nnx.initializers.normal(0.02 * (released_fan_in / fan_in) ** 0.5)


class ConvNormReLU(nnx.Module):
    """Convolution without bias, affine instance norm, ReLU (spec TDGAN 2.1)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, rngs: nnx.Rngs):
        """Makes a unit that keeps height and width."""
        self.conv = convolution(in_channels, out_channels, kernel_size, use_bias=False, rngs=rngs)
        self.norm = InstanceNorm(out_channels, epsilon=ENCODER_NORM_EPSILON, affine=True, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, H, W, out]`, at least 0."""
        x = self.conv(x)
        x = self.norm(x)
        return nnx.relu(x)


class InceptionResidualBlock(nnx.Module):
    """Three branches of 1, 2 and 3 units, merged and added at scale 0.17 (spec TDGAN 2.3)."""

    def __init__(self, channels: int, branch_channels: int, *, rngs: nnx.Rngs):
        """Makes a block that keeps its input's shape.

        Args:
            channels: Channels of input and output (paper 64).
            branch_channels: Channels inside each branch (paper 16).
            rngs: Initialises the kernels.
        """

        def unit(in_channels: int, kernel_size: int) -> ConvNormReLU:
            return ConvNormReLU(in_channels, branch_channels, kernel_size, rngs=rngs)

        self.branches = nnx.List(
            nnx.List([unit(channels, 1), *(unit(branch_channels, 3) for _ in range(depth))])
            for depth in range(3)
        )
        self.merge = convolution(3 * branch_channels, channels, 1, use_bias=True, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, channels]` to the same shape, at least 0."""
        outputs = []
        for branch in self.branches:
            y = x
            for unit in branch:
                y = unit(y)
            outputs.append(y)
        merged = self.merge(jnp.concatenate(outputs, axis=-1))
        return nnx.relu(INCEPTION_RESIDUAL_SCALE * merged + x)


class Encoder(nnx.Module):
    """Encoder of both generator branches and of both discriminators (spec TDGAN 2.2)."""

    def __init__(
        self,
        *,
        image_channels: int = 1,
        widths: Sequence[int] = (32, 64, 128, 128),
        branch_channels: int = 16,
        num_blocks: int = 4,
        rngs: nnx.Rngs,
    ):
        """Makes the encoder.

        Args:
            image_channels: 1 for gray images, 3 for colour.
            widths: Channels after each of the four 5x5 units.
            branch_channels: Channels inside the Inception-residual blocks.
            num_blocks: Number of these blocks.
            rngs: Initialises the kernels.
        """
        self.rematerialises = False  # see execution.py
        self.conv1 = ConvNormReLU(image_channels, widths[0], 5, rngs=rngs)
        self.conv2 = ConvNormReLU(widths[0], widths[1], 5, rngs=rngs)
        self.blocks = nnx.List(
            InceptionResidualBlock(widths[1], branch_channels, rngs=rngs) for _ in range(num_blocks)
        )
        self.conv3 = ConvNormReLU(widths[1], widths[2], 5, rngs=rngs)
        self.conv4 = ConvNormReLU(widths[2], widths[3], 5, rngs=rngs)

    def __call__(self, image: jax.Array) -> jax.Array:
        """Maps images `[N, S, S, channels]` to features `[N, S/16, S/16, widths[3]]`."""
        x = self._stage(self.conv1, image)  # [N, S/2, S/2, 32]
        x = self._stage(self.conv2, x)  # [N, S/4, S/4, 64]
        for block in self.blocks:
            x = self._computed(block.__call__, x)
        x = self._stage(self.conv3, x)  # [N, S/8, S/8, 128]
        return self._stage(self.conv4, x)  # [N, S/16, S/16, 128]

    def _stage(self, unit: ConvNormReLU, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, H/2, W/2, out]`."""
        return self._computed(lambda x: max_pool_3x3_stride_2(unit(x)), x)

    def _computed(self, function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
        return jax.checkpoint(function)(x) if self.rematerialises else function(x)


class Head(nnx.Module):
    """Three linear layers on a flattened feature, dropout before the first two (spec TDGAN 2.4)."""

    def __init__(
        self,
        *,
        feature_shape: tuple[int, int, int] = (8, 8, 128),
        hidden_features: int = 1024,
        num_classes: int,
        dropout_rate: float = 0.5,
        rngs: nnx.Rngs,
    ):
        """Makes the head.

        Args:
            feature_shape: Height, width and channels of the feature.
            hidden_features: Width of both hidden layers.
            num_classes: Number of logits.
            dropout_rate: Probability of dropping an input of the first two layers.
            rngs: Initialises the kernels by `released_normal`; biases are 0.
        """
        height, width, channels = feature_shape

        def linear(in_features: int, out_features: int, released_fan_in: int) -> nnx.Linear:
            init = released_normal(in_features, released_fan_in)
            return nnx.Linear(in_features, out_features, kernel_init=init, rngs=rngs)

        self.dropout_rate = dropout_rate
        self.fc1 = linear(height * width * channels, hidden_features, 8192)
        self.fc2 = linear(hidden_features, hidden_features, 1024)
        self.fc3 = linear(hidden_features, num_classes, 1024)

    def __call__(self, feature: jax.Array, *, dropout_keys: jax.Array | None = None) -> jax.Array:
        """Classifies features.

        Args:
            feature: `[N, H, W, C]`, the encoder's output.
            dropout_keys: `[N]` random keys; None switches dropout off.

        Returns:
            Logits `[N, num_classes]`.
        """
        keys = (None, None)
        if dropout_keys is not None:
            keys = tuple(jax.vmap(jax.random.split, out_axes=1)(dropout_keys))
        # C, H, W order, so that weights are those of the PyTorch form.
        x = feature.transpose(0, 3, 1, 2).reshape(feature.shape[0], -1)
        x = per_example_dropout(x, keys[0], rate=self.dropout_rate)
        x = nnx.relu(self.fc1(x))
        x = per_example_dropout(x, keys[1], rate=self.dropout_rate)
        x = nnx.relu(self.fc2(x))
        return self.fc3(x)


def scaled(width: int, multiplier: float) -> int:
    """Number of channels or features of a layer of the paper under a width multiplier."""
    return max(1, round(width * multiplier))


def make_encoder(
    *, image_channels: int, width_multiplier: float, num_blocks: int, rngs: nnx.Rngs
) -> Encoder:
    """An encoder of the paper's sizes under a width multiplier.

    Args:
        image_channels: 1 for gray images, 3 for colour.
        width_multiplier: Scales every width.
        num_blocks: Inception-residual blocks.
        rngs: Initialises the kernels.
    """
    return Encoder(
        image_channels=image_channels,
        widths=tuple(scaled(width, width_multiplier) for width in (32, 64, 128, 128)),
        branch_channels=scaled(16, width_multiplier),
        num_blocks=num_blocks,
        rngs=rngs,
    )


def make_head(
    *,
    image_size_px: int,
    width_multiplier: float,
    num_classes: int,
    dropout_rate: float,
    rngs: nnx.Rngs,
) -> Head:
    """A head of the paper's sizes under a width multiplier, on features of `make_encoder`.

    Args:
        image_size_px: Height and width of the encoder's images.
        width_multiplier: Scales every width.
        num_classes: Number of logits.
        dropout_rate: See `Head`.
        rngs: Initialises the kernels.

    Raises:
        ValueError: If the image size is not a positive multiple of 16.
    """
    if image_size_px <= 0 or image_size_px % ENCODER_STRIDE:
        raise ValueError(f"image_size_px must be a multiple of 16, got {image_size_px}")
    feature_size = image_size_px // ENCODER_STRIDE
    return Head(
        feature_shape=(feature_size, feature_size, scaled(128, width_multiplier)),
        hidden_features=scaled(1024, width_multiplier),
        num_classes=num_classes,
        dropout_rate=dropout_rate,
        rngs=rngs,
    )


def fitting_multiplier(widths: Mapping[int, int]) -> float:
    """The multiplier that scales each width of the paper to the one found.

    Args:
        widths: Width of the paper to width found.

    Raises:
        UserError: If there is none.
    """
    widest = max(widths)
    # Rounding leaves an interval for each width; all of them must meet.
    low = max((found - 0.5) / paper for paper, found in widths.items())
    high = min((found + 0.5) / paper for paper, found in widths.items())
    for multiplier in (widths[widest] / widest, (low + high) / 2):
        if all(scaled(paper, multiplier) == found for paper, found in widths.items()):
            return multiplier
    named = ", ".join(f"{found} for {paper}" for paper, found in widths.items())
    raise UserError(f"no width multiplier turns the paper's widths into these: {named}")

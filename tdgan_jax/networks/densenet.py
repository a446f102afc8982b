"""Densely connected networks (Huang et al. 2017, arXiv:1608.06993), torchvision's form.

Every layer of a block sees what all earlier ones of the block computed. Images are `[N, S, S, C]`,
normalised as the caller wants; the weights of torchvision expect ImageNet's mean and deviation
(spec Emotion-GCN 2.1).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.batch_norm import BatchNorm, BatchStatistics
from tdgan_jax.networks.layers import average_pool_2x2, convolve, max_pool_3x3_stride_2

# Depth to layers of each block; of 161 the growth rate is 48 and the stem has 96 channels.
DEPTHS = {
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
}


def densenet_channels(
    block_layers: Sequence[int], *, growth_rate: int, initial_channels: int
) -> list[int]:
    """Channels after each block; a transition halves them (floor) before the next one."""
    channels, after = initial_channels, []
    for block, count in enumerate(block_layers):
        channels = (channels // 2 if block else channels) + count * growth_rate
        after.append(channels)
    return after


def densenet_map_size(image_size_px: int, num_blocks: int) -> int:
    """Height and width of the last feature map; 0 for an image that is too small."""
    after_stem = (image_size_px + 3) // 4
    return after_stem // 2 ** (num_blocks - 1)


def check_image_size(image_size_px: int, num_blocks: int) -> None:
    """Refuses images of which nothing is left after the last block.

    Raises:
        ValueError: Says which size is enough.
    """
    if num_blocks and densenet_map_size(image_size_px, num_blocks) < 1:
        raise ValueError(
            f"image_size_px must be at least {4 * 2 ** (num_blocks - 1) - 3} for a DenseNet of "
            f"{num_blocks} blocks, got {image_size_px}"
        )


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, rngs: nnx.Rngs
) -> nnx.Conv:
    """Convolution without bias, padded to keep the size (or divide it by the stride)."""
    return nnx.Conv(
        in_channels,
        out_channels,
        (kernel_size, kernel_size),
        strides=stride,
        padding=kernel_size // 2,
        use_bias=False,
        kernel_init=nnx.initializers.variance_scaling(2.0, "fan_in", "normal"),
        conv_general_dilated=convolve,
        rngs=rngs,
    )


class DenseLayer(nnx.Module):
    """Norm, ReLU, 1x1 convolution, norm, ReLU, 3x3 convolution: the new channels of one layer."""

    def __init__(
        self, in_channels: int, growth_rate: int, bottleneck_factor: int, *, rngs: nnx.Rngs
    ):
        """Makes the layer.

        Args:
            in_channels: Channels of the input.
            growth_rate: Channels that it adds.
            bottleneck_factor: Channels between the convolutions over those that it adds.
            rngs: Initialises the kernels.
        """
        bottleneck = bottleneck_factor * growth_rate
        self.norm1 = BatchNorm(in_channels, rngs=rngs)
        self.conv1 = convolution(in_channels, bottleneck, 1, rngs=rngs)
        self.norm2 = BatchNorm(bottleneck, rngs=rngs)
        self.conv2 = convolution(bottleneck, growth_rate, 3, rngs=rngs)

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, H, W, growth_rate]`."""
        x = self.conv1(nnx.relu(self.norm1(x, statistics)))
        return self.conv2(nnx.relu(self.norm2(x, statistics)))


class Transition(nnx.Module):
    """Norm, ReLU, 1x1 convolution and average pool between two blocks."""

    def __init__(self, in_channels: int, *, rngs: nnx.Rngs):
        """Makes the layers; the convolution halves the channels."""
        self.norm = BatchNorm(in_channels, rngs=rngs)
        self.conv = convolution(in_channels, in_channels // 2, 1, rngs=rngs)

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, H // 2, W // 2, in // 2]`."""
        x = nnx.relu(self.norm(x, statistics))
        # The mean of a 1x1 convolution is the convolution of the mean, with a quarter of the work.
        return self.conv(average_pool_2x2(x))


class DenseNet(nnx.Module):
    """Stem, dense blocks with transitions, last norm: the features of an image."""

    def __init__(
        self,
        *,
        block_layers: Sequence[int] = DEPTHS[121],
        growth_rate: int = 32,
        initial_channels: int = 64,
        bottleneck_factor: int = 4,
        image_channels: int = 3,
        rngs: nnx.Rngs,
    ):
        """Makes the network.

        Args:
            block_layers: Layers of each block, as of `DEPTHS`.
            growth_rate: Channels that each layer adds.
            initial_channels: Channels of the stem.
            bottleneck_factor: Channels inside a layer over those that it adds.
            image_channels: Channels of the input.
            rngs: Initialises the parameters as torchvision does.

        Raises:
            ValueError: If a size is impossible.
        """
        _check_sizes(block_layers, growth_rate, initial_channels, bottleneck_factor)
        self.conv0 = convolution(image_channels, initial_channels, 7, stride=2, rngs=rngs)
        self.norm0 = BatchNorm(initial_channels, rngs=rngs)
        blocks, transitions = [], []
        channels = initial_channels
        for count in block_layers:
            if blocks:
                transitions.append(Transition(channels, rngs=rngs))
                channels //= 2
            layers = []
            for _ in range(count):
                layers.append(DenseLayer(channels, growth_rate, bottleneck_factor, rngs=rngs))
                channels += growth_rate
            blocks.append(nnx.List(layers))
        self.blocks = nnx.List(blocks)
        self.transitions = nnx.List(transitions)
        self.norm5 = BatchNorm(channels, rngs=rngs)

    def __call__(self, image: jax.Array, statistics: BatchStatistics | None = None) -> jax.Array:
        """The last norm's feature map, of both signs.

        Args:
            image: `[N, S, S, image_channels]`.
            statistics: What training takes as a batch; None for evaluation.

        Returns:
            `[N, M, M, F]`; M as `densenet_map_size` says, F the last of `densenet_channels`.
        """
        x = self.conv0(image)  # [N, S/2, S/2, 64]
        x = nnx.relu(self.norm0(x, statistics))
        x = max_pool_3x3_stride_2_any_size(x)  # [N, S/4, S/4, 64]
        for i, layers in enumerate(self.blocks):
            if i:
                x = self.transitions[i - 1](x, statistics)
            for layer in layers:
                x = jnp.concatenate([x, layer(x, statistics)], axis=-1)
        return self.norm5(x, statistics)


def average_features(feature_map: jax.Array) -> jax.Array:
    """Mean of the positive part over height and width, float32 `[N, F]`: torchvision's features."""
    return jnp.mean(nnx.relu(feature_map), axis=(1, 2), dtype=jnp.float32)


def max_pool_3x3_stride_2_any_size(x: jax.Array) -> jax.Array:
    """Halves height and width (ceiling) by the maximum of 3x3 windows, padding 1."""
    odd_height, odd_width = x.shape[1] % 2, x.shape[2] % 2
    if odd_height or odd_width:
        config = [(0, 0, 0), (0, odd_height, 0), (0, odd_width, 0), (0, 0, 0)]
        x = jax.lax.pad(x, jnp.array(-jnp.inf, x.dtype), config)
    return max_pool_3x3_stride_2(x, pads_start=True)


def _check_sizes(
    block_layers: Sequence[int], growth_rate: int, initial_channels: int, bottleneck_factor: int
) -> None:
    if not block_layers or min(block_layers) < 1:
        raise ValueError(f"block_layers must be numbers of at least 1, got {list(block_layers)}")
    sizes = {
        "growth_rate": growth_rate,
        "initial_channels": initial_channels,
        "bottleneck_factor": bottleneck_factor,
    }
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")

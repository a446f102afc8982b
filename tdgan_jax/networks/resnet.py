"""Residual networks 18, 34, 50 and 101 (He et al. 2015, arXiv:1512.03385), torchvision's form.

The one of 10 layers, which the paper does not have, is for quick tries.

The stride of a bottleneck stands on its 3x3 convolution. Images are `[N, H, W, C]`, normalised as
the caller wants; the weights of torchvision expect ImageNet's mean and deviation (spec IF-GAN 5).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.batch_norm import BatchNorm, BatchStatistics
from tdgan_jax.networks.layers import convolve, max_pool_3x3_stride_2, uniform_fan_in

# Depth to number of blocks of each stage, and whether these are bottlenecks.
DEPTHS = {
    10: ((1, 1, 1, 1), False),
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}
BOTTLENECK_EXPANSION = 4
# Kernel size and stride of the first convolution.
STEMS = {"7x7": (7, 2), "3x3": (3, 1)}


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
        kernel_init=nnx.initializers.variance_scaling(2.0, "fan_out", "normal"),
        conv_general_dilated=convolve,
        rngs=rngs,
    )


class Downsample(nnx.Module):
    """1x1 convolution and batch norm on the shortcut of a block that changes its input's shape."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, rngs: nnx.Rngs):
        """Makes the projection."""
        self.conv = convolution(in_channels, out_channels, 1, stride=stride, rngs=rngs)
        self.norm = BatchNorm(out_channels, rngs=rngs)

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, H/stride, W/stride, out]`."""
        return self.norm(self.conv(x), statistics)


class SqueezeExcitation(nnx.Module):
    """Weighs the channels by what is in the whole map (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, hidden: int, *, rngs: nnx.Rngs):
        """Makes the two linear layers with PyTorch's initialisation."""

        def linear(inputs: int, outputs: int) -> nnx.Linear:
            init = uniform_fan_in(inputs)
            return nnx.Linear(inputs, outputs, kernel_init=init, bias_init=init, rngs=rngs)

        self.fc1 = linear(channels, max(hidden, 1))
        self.fc2 = linear(max(hidden, 1), channels)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, channels]` to the same shape."""
        pooled = jnp.mean(x, axis=(1, 2))  # [N, channels]
        weight = nnx.sigmoid(self.fc2(nnx.relu(self.fc1(pooled))))
        return x * weight[:, None, None, :]


class ResidualBlock(nnx.Module):
    """Basic block (two 3x3 convolutions) or bottleneck (1x1, 3x3, 1x1) with a shortcut."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int,
        is_bottleneck: bool,
        squeeze_reduction: int = 0,
        rngs: nnx.Rngs,
    ):
        """Makes the block.

        Args:
            in_channels: Channels of the input.
            width: Channels inside; the output of a bottleneck has four times as many.
            stride: 1, or 2 to halve height and width.
            is_bottleneck: Which of the two forms.
            squeeze_reduction: Of a squeeze-and-excitation before the addition: channels over hidden
                units; 0: none.
            rngs: Initialises the kernels.
        """
        out_channels = width * BOTTLENECK_EXPANSION if is_bottleneck else width
        layers = (
            [(in_channels, width, 1, 1), (width, width, 3, stride), (width, out_channels, 1, 1)]
            if is_bottleneck
            else [(in_channels, width, 3, stride), (width, width, 3, 1)]
        )
        self.convs = nnx.List(
            convolution(inputs, outputs, kernel_size, stride=layer_stride, rngs=rngs)
            for inputs, outputs, kernel_size, layer_stride in layers
        )
        self.norms = nnx.List(BatchNorm(outputs, rngs=rngs) for _, outputs, _, _ in layers)
        changes_shape = stride != 1 or in_channels != out_channels
        self.downsample = (
            Downsample(in_channels, out_channels, stride=stride, rngs=rngs)
            if changes_shape
            else None
        )

        self.squeeze = (
            SqueezeExcitation(out_channels, out_channels // squeeze_reduction, rngs=rngs)
            if squeeze_reduction
            else None
        )

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, H/stride, W/stride, out]`, at least 0."""
        shortcut = x if self.downsample is None else self.downsample(x, statistics)
        last = len(self.convs) - 1
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(x), statistics)
            if i < last:
                x = nnx.relu(x)
        if self.squeeze is not None:
            x = self.squeeze(x)
        return nnx.relu(x + shortcut)


class ResNet(nnx.Module):
    """Stem, four stages, average pool and a linear layer (spec IF-GAN 5)."""

    def __init__(
        self,
        *,
        depth: int = 101,
        width: int = 64,
        image_channels: int = 3,
        images_per_example: int = 1,
        stem: str = "7x7",
        squeeze_reduction: int = 0,
        num_classes: int | None,
        rngs: nnx.Rngs,
    ):
        """Makes the network.

        Args:
            depth: 18, 34, 50 or 101.
            width: Channels of the stem; the stages have 1, 2, 4 and 8 times as many.
            image_channels: Channels of the input.
            images_per_example: Images whose pooled features the linear layer sees side by side.
            stem: `"7x7"`: a convolution of stride 2, then a pool of stride 2, as torchvision;
                `"3x3"`: a convolution of stride 1, then the pool, for small images.
            squeeze_reduction: Of the blocks, see `ResidualBlock`.
            num_classes: Number of logits; None leaves the linear layer out.
            rngs: Initialises the parameters as torchvision does.

        Raises:
            ValueError: If the depth or the stem is unknown.
        """
        if depth not in DEPTHS:
            raise ValueError(
                f"depth of the ResNet is {depth}; known: {', '.join(map(str, DEPTHS))}"
            )
        num_blocks, is_bottleneck = DEPTHS[depth]
        if stem not in STEMS:
            raise ValueError(f"stem of the ResNet is {stem!r}; known: {', '.join(STEMS)}")
        kernel_size, stride = STEMS[stem]
        self.conv1 = convolution(image_channels, width, kernel_size, stride=stride, rngs=rngs)
        self.norm1 = BatchNorm(width, rngs=rngs)
        stages = []
        channels = width
        for stage, count in enumerate(num_blocks):
            blocks = []
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                stage_width = width * 2**stage
                blocks.append(
                    ResidualBlock(
                        channels,
                        stage_width,
                        stride=stride,
                        is_bottleneck=is_bottleneck,
                        squeeze_reduction=squeeze_reduction,
                        rngs=rngs,
                    )
                )
                channels = stage_width * (BOTTLENECK_EXPANSION if is_bottleneck else 1)
            stages.append(nnx.List(blocks))
        self.stages = nnx.List(stages)
        self.num_features = channels * images_per_example
        init = uniform_fan_in(self.num_features)
        self.fc: Any = (
            None
            if num_classes is None
            else nnx.Linear(
                self.num_features, num_classes, kernel_init=init, bias_init=init, rngs=rngs
            )
        )

    def features(self, image: jax.Array, statistics: BatchStatistics | None = None) -> jax.Array:
        """Pooled features.

        Args:
            image: `[N, S, S, image_channels]`; S/2, or with the small stem S, is even.
            statistics: What training takes as a batch; None for evaluation.

        Returns:
            float32 `[N, F]`, at least 0; F is 2048 for 50 and 101 layers, 512 for 18 and 34.
        """
        x = self.conv1(image)  # [N, S/2, S/2, 64]
        x = nnx.relu(self.norm1(x, statistics))
        x = max_pool_3x3_stride_2(x, pads_start=True)  # [N, S/4, S/4, 64]
        for stage in self.stages:
            for block in stage:
                x = block(x, statistics)  # [N, S/4, S/4, 256] ... [N, S/32, S/32, 2048]
        return jnp.mean(x, axis=(1, 2), dtype=jnp.float32)

    def __call__(self, image: jax.Array, statistics: BatchStatistics | None = None) -> jax.Array:
        """Logits `[N, num_classes]` of images, see `features`; the features without that layer."""
        features = self.features(image, statistics)
        return features if self.fc is None else self.fc(features)

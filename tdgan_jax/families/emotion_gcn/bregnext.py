"""BReG-NeXt, the residual network with bounded shortcuts (spec Emotion-GCN 2.2).

Hasani, Negi, Mahoor 2020, "BReG-NeXt: Facial Affect Computing Using Adaptive Residual Networks With
Bounded Gradient", arXiv:2004.08495; sizes and details are those of the program of Emotion-GCN.

Images are `[N, S, S, C]`, normalised as the caller wants.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.batch_norm import BatchNorm, BatchStatistics
from tdgan_jax.networks.layers import average_pool_2x2, convolve, uniform_fan_in

STAGE_LAYERS = (7, 8, 7)
STAGE_WIDTHS = (32, 64, 128)


def _convolution(
    in_channels: int, out_channels: int, *, stride: int = 1, is_kaiming: bool, rngs: nnx.Rngs
) -> nnx.Conv:
    """3x3 convolution with bias, padded to keep the size (or divide it by the stride)."""
    fan_in = 9 * in_channels
    kaiming = nnx.initializers.variance_scaling(2.0, "fan_in", "uniform")
    return nnx.Conv(
        in_channels,
        out_channels,
        (3, 3),
        strides=stride,
        padding=1,
        kernel_init=kaiming if is_kaiming else uniform_fan_in(fan_in),
        bias_init=uniform_fan_in(fan_in),
        conv_general_dilated=convolve,
        rngs=rngs,
    )


class BoundedShortcut(nnx.Module):
    """sc(x) = atan(a x / sqrt(c^2 + 1)) / (a sqrt(c^2 + 1)), then the layer's change of shape."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int):
        """Makes a and c, both 1.

        Args:
            in_channels: Channels of the input.
            out_channels: Channels of the output, of which zeros come on both sides in equal parts.
            stride: 1, or 2 to halve height and width by an average pool.
        """
        self.stride = stride
        self.padding = (out_channels - in_channels) // 2
        self.a = nnx.Param(jnp.ones((1,)))
        self.c = nnx.Param(jnp.ones((1,)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, H/stride, W/stride, out]`."""
        a, root = self.a[0], jnp.sqrt(jnp.square(self.c[0]) + 1.0)
        bounded = jnp.arctan(x * (a / root)) / (a * root)
        bounded = bounded.astype(x.dtype)
        if self.stride == 2:
            bounded = average_pool_2x2(bounded)
        if self.padding:
            bounded = jnp.pad(bounded, ((0, 0), (0, 0), (0, 0), (self.padding, self.padding)))
        return bounded


class ResidualLayer(nnx.Module):
    """Norm, ELU, convolution, norm, ELU, convolution, plus the bounded shortcut of the input."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, rngs: nnx.Rngs):
        """Makes the layer.

        Args:
            in_channels: Channels of the input.
            out_channels: Channels of the output.
            stride: Of the first convolution: 1, or 2 to halve height and width.
            rngs: Initialises the convolutions.
        """
        self.norm0 = BatchNorm(in_channels, rngs=rngs)
        self.conv0 = _convolution(
            in_channels, out_channels, stride=stride, is_kaiming=True, rngs=rngs
        )
        self.norm1 = BatchNorm(out_channels, rngs=rngs)
        self.conv1 = _convolution(out_channels, out_channels, is_kaiming=True, rngs=rngs)
        self.shortcut = BoundedShortcut(in_channels, out_channels, stride=stride)

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, H/stride, W/stride, out]`."""
        shortcut = self.shortcut(x)
        x = self.conv0(nnx.elu(self.norm0(x, statistics)))
        x = self.conv1(nnx.elu(self.norm1(x, statistics)))
        return x + shortcut


class BregNext(nnx.Module):
    """Convolution, stages of residual layers, norm, ELU and average pool: features of an image."""

    def __init__(
        self,
        *,
        stage_layers: Sequence[int] = STAGE_LAYERS,
        stage_widths: Sequence[int] = STAGE_WIDTHS,
        image_channels: int = 3,
        rngs: nnx.Rngs,
    ):
        """Makes the network.

        Args:
            stage_layers: Layers of each stage that keep its shape. Between two stages stands one
                layer more, which halves height and width and widens.
            stage_widths: Channels of each stage.
            image_channels: Channels of the input.
            rngs: Initialises the convolutions.

        Raises:
            ValueError: If a size is impossible.
        """
        _check_sizes(stage_layers, stage_widths)
        # No norm and no activation follow the first convolution.
        self.conv0 = _convolution(image_channels, stage_widths[0], is_kaiming=False, rngs=rngs)
        groups = []
        for stage, (count, width) in enumerate(zip(stage_layers, stage_widths, strict=True)):
            if stage:
                before = stage_widths[stage - 1]
                groups.append(nnx.List([ResidualLayer(before, width, stride=2, rngs=rngs)]))
            layers = [ResidualLayer(width, width, stride=1, rngs=rngs) for _ in range(count)]
            groups.append(nnx.List(layers))
        self.groups = nnx.List(groups)
        self.norm = BatchNorm(stage_widths[-1], rngs=rngs)

    def __call__(self, image: jax.Array, statistics: BatchStatistics | None = None) -> jax.Array:
        """Pooled features.

        Args:
            image: `[N, S, S, image_channels]`; S divisible by 2 for each stage but the first.
            statistics: What training takes as a batch; None for evaluation.

        Returns:
            float32 `[N, F]`, F the width of the last stage.
        """
        x = self.conv0(image)  # [N, S, S, 32]
        for layers in self.groups:
            for layer in layers:
                x = layer(x, statistics)  # [N, S, S, 32] ... [N, S/4, S/4, 128]
        x = nnx.elu(self.norm(x, statistics))
        return jnp.mean(x, axis=(1, 2), dtype=jnp.float32)


def _check_sizes(stage_layers: Sequence[int], stage_widths: Sequence[int]) -> None:
    if not stage_layers or min(stage_layers) < 1:
        raise ValueError(f"stage_layers must be numbers of at least 1, got {list(stage_layers)}")
    if len(stage_widths) != len(stage_layers):
        raise ValueError(
            f"stage_widths must be as many as stage_layers, {len(stage_layers)}, "
            f"got {list(stage_widths)}"
        )
    steps = [after - before for before, after in zip(stage_widths, stage_widths[1:], strict=False)]
    if stage_widths[0] < 1 or any(step < 0 or step % 2 for step in steps):
        raise ValueError(
            "stage_widths must begin with at least 1 and grow in even steps (the shortcut is "
            f"padded on both sides), got {list(stage_widths)}"
        )

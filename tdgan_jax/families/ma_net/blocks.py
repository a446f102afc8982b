"""Blocks of MA-Net: attention blocks and multi-scale blocks (spec ESR and MA-Net, C.1).

Feature maps are `[N, H, W, C]`. A block in training mode is given the `BatchStatistics` of its
batch norms, one in evaluation mode None.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.batch_norm import BatchNorm, BatchStatistics
from tdgan_jax.networks.cbam import CBAM
from tdgan_jax.networks.resnet import Downsample, convolution

NUM_GROUPS = 4
DIRECTIONS = ("forward", "reversed")


class AttendedBlock(NamedTuple):
    """What an attention block returns.

    Attributes:
        output: `[N, h, w, C]`, at least 0.
        spatial_attention: float32 `[N, h, w]` in [0, 1].
    """

    output: jax.Array
    spatial_attention: jax.Array


def make_shortcut(
    in_channels: int, out_channels: int, *, stride: int, rngs: nnx.Rngs
) -> Downsample | None:
    """The projection of a block that changes its input's shape; None for any other block."""
    if stride == 1 and in_channels == out_channels:
        return None
    return Downsample(in_channels, out_channels, stride=stride, rngs=rngs)


class AttentionBlock(nnx.Module):
    """Two 3x3 convolutions, attention (CBAM) and a shortcut."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        attention_reduction: int = 16,
        rngs: nnx.Rngs,
    ):
        """Makes the block.

        Args:
            in_channels: Channels of the input.
            width: Channels of the output.
            stride: 1, or 2 to halve height and width.
            attention_reduction: See `CBAM`.
            rngs: Initialises the parameters.
        """
        self.conv1 = convolution(in_channels, width, 3, stride=stride, rngs=rngs)
        self.norm1 = BatchNorm(width, rngs=rngs)
        self.conv2 = convolution(width, width, 3, rngs=rngs)
        self.norm2 = BatchNorm(width, rngs=rngs)
        self.downsample = make_shortcut(in_channels, width, stride=stride, rngs=rngs)
        self.attention = CBAM(
            width,
            reduction=attention_reduction,
            kernel_init=nnx.initializers.variance_scaling(2.0, "fan_out", "normal"),
            rngs=rngs,
        )

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None = None) -> AttendedBlock:
        """Maps `[N, H, W, in]` to `[N, H/stride, W/stride, width]`."""
        shortcut = x if self.downsample is None else self.downsample(x, statistics)
        x = nnx.relu(self.norm1(self.conv1(x), statistics))
        x = self.norm2(self.conv2(x), statistics)
        attended = self.attention(x, statistics)
        return AttendedBlock(nnx.relu(attended.output + shortcut), attended.spatial_attention)


class SubBody(nnx.Module):
    """Four convolutions on four groups of channels, each on its own group and the last result."""

    def __init__(self, width: int, *, direction: str = "forward", rngs: nnx.Rngs):
        """Makes the convolutions.

        Args:
            width: Channels of a group.
            direction: `"forward"` begins with the first group, `"reversed"` with the last.
            rngs: Initialises the kernels.
        """
        self.is_reversed = direction == "reversed"
        self.convs = nnx.List(convolution(width, width, 3, rngs=rngs) for _ in range(NUM_GROUPS))
        self.norms = nnx.List(BatchNorm(width, rngs=rngs) for _ in range(NUM_GROUPS))

    def __call__(
        self, groups: Sequence[jax.Array], statistics: BatchStatistics | None = None
    ) -> jax.Array:
        """Maps four times `[N, H, W, width]` to `[N, H, W, 4 * width]`, groups in their order."""
        order = range(NUM_GROUPS)
        results: dict[int, jax.Array] = {}
        last = None
        for i in reversed(order) if self.is_reversed else order:
            x = groups[i] if last is None else nnx.relu(last) + groups[i]
            last = results[i] = self.norms[i](self.convs[i](x), statistics)
        return jnp.concatenate([results[i] for i in order], axis=-1)


class MultiScaleBlock(nnx.Module):
    """A 3x3 convolution, two sub-bodies with growing fields of view, and a shortcut."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        second_direction: str = "forward",
        rngs: nnx.Rngs,
    ):
        """Makes the block.

        Args:
            in_channels: Channels of the input.
            width: Channels of the output, a multiple of 4.
            stride: 1, or 2 to halve height and width.
            second_direction: The second sub-body's, one of `DIRECTIONS`; that of the first is
                `"forward"`.
            rngs: Initialises the kernels.
        """
        self.conv1 = convolution(in_channels, width, 3, stride=stride, rngs=rngs)
        self.norm1 = BatchNorm(width, rngs=rngs)
        self.sub_bodies = nnx.List(
            SubBody(width // NUM_GROUPS, direction=direction, rngs=rngs)
            for direction in ("forward", second_direction)
        )
        self.downsample = make_shortcut(in_channels, width, stride=stride, rngs=rngs)

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None = None) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, H/stride, W/stride, width]`, at least 0."""
        shortcut = x if self.downsample is None else self.downsample(x, statistics)
        x = nnx.relu(self.norm1(self.conv1(x), statistics))
        groups = jnp.split(x, NUM_GROUPS, axis=-1)
        first, second = (body(groups, statistics) for body in self.sub_bodies)
        return nnx.relu(first + second + shortcut)

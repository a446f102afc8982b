"""Convolutional block attention: which channels, then which positions of a feature map count.

Source: Woo et al. 2018, "CBAM: Convolutional Block Attention Module", arXiv:1807.06521; spec ESR
and MA-Net, A.2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.batch_norm import BatchNorm, BatchStatistics
from tdgan_jax.networks.layers import (
    Initializer,
    global_max_pool,
    linear,
    max_along,
    uniform_fan_in,
)

SPATIAL_KERNEL_SIZE = 7
SPATIAL_MOMENTUM = 0.01


class Attended(NamedTuple):
    """What an attention module returns.

    Attributes:
        output: The feature map times both attentions, `[N, H, W, C]`.
        channel_attention: float32 `[N, C]` in [0, 1].
        spatial_attention: float32 `[N, H, W]` in [0, 1].
    """

    output: jax.Array
    channel_attention: jax.Array
    spatial_attention: jax.Array


class ChannelGate(nnx.Module):
    """Attention of each channel: one perceptron on its mean and on its maximum, summed."""

    def __init__(self, channels: int, *, reduction: int, rngs: nnx.Rngs):
        """Makes the perceptron.

        Args:
            channels: C of the feature map.
            reduction: C over the perceptron's hidden units, of which there is at least 1.
            rngs: Initialises the parameters as PyTorch does.
        """
        hidden = max(1, channels // reduction)
        self.squeeze = linear(channels, hidden, rngs=rngs)
        self.excite = linear(hidden, channels, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Attention `[N, C]` of `[N, H, W, C]`."""
        mean = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        maximum = global_max_pool(x).astype(jnp.float32)
        pooled = jnp.stack([mean, maximum])  # [2, N, C]
        scores = self.excite(nnx.relu(self.squeeze(pooled)))
        return nnx.sigmoid(jnp.sum(scores, axis=0, dtype=jnp.float32))


class SpatialGate(nnx.Module):
    """Attention of each position: a convolution on the channels' maximum and mean, normalised."""

    def __init__(self, *, kernel_init: Initializer, rngs: nnx.Rngs):
        """Makes convolution and norm.

        Args:
            kernel_init: Initialises the kernel.
            rngs: Initialises the parameters.
        """
        # Without `convolve`: of two channels the windows would take longer than the convolution.
        self.conv = nnx.Conv(
            2,
            1,
            (SPATIAL_KERNEL_SIZE, SPATIAL_KERNEL_SIZE),
            padding=SPATIAL_KERNEL_SIZE // 2,
            use_bias=False,
            kernel_init=kernel_init,
            rngs=rngs,
        )
        self.norm = BatchNorm(1, momentum=SPATIAL_MOMENTUM, rngs=rngs)

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None) -> jax.Array:
        """Attention `[N, H, W]` of `[N, H, W, C]`."""
        maximum = max_along(x, 3)
        mean = jnp.mean(x, axis=-1, dtype=jnp.float32).astype(x.dtype)
        pooled = jnp.stack([maximum, mean], axis=-1)  # [N, H, W, 2]
        scores = self.norm(self.conv(pooled), statistics)  # [N, H, W, 1]
        return nnx.sigmoid(scores[..., 0].astype(jnp.float32))


class CBAM(nnx.Module):
    """Attention over the channels, then over the positions of what they leave."""

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        kernel_init: Initializer | None = None,
        rngs: nnx.Rngs,
    ):
        """Makes both gates.

        Args:
            channels: C of the feature map.
            reduction: Channels over the hidden units of the channels' gate.
            kernel_init: Initialises the kernel of the positions' gate; PyTorch's default if None.
            rngs: Initialises the parameters.
        """
        if kernel_init is None:
            kernel_init = uniform_fan_in(2 * SPATIAL_KERNEL_SIZE**2)
        self.channel_gate = ChannelGate(channels, reduction=reduction, rngs=rngs)
        self.spatial_gate = SpatialGate(kernel_init=kernel_init, rngs=rngs)

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None = None) -> Attended:
        """Attends to `[N, H, W, C]`; with `statistics` the running averages move."""
        by_channel = self.channel_gate(x)
        x = x * by_channel[:, None, None].astype(x.dtype)
        by_position = self.spatial_gate(x, statistics)
        x = x * by_position[..., None].astype(x.dtype)
        return Attended(x, by_channel, by_position)

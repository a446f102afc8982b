"""The networks of which ESR is made: base and branch (spec ESR and MA-Net, A.1).

A network in training mode is given the `BatchStatistics` of its batch norms, one in evaluation mode
None. Layers are counted from 1. E is the number of expressions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.batch_norm import BatchNorm, BatchStatistics
from tdgan_jax.networks.cbam import CBAM
from tdgan_jax.networks.layers import convolve, linear, max_pool_2x2, uniform_fan_in

FIRST_KERNEL_SIZE = 5
KERNEL_SIZE = 3
NUM_AFFECTS = 2  # valence and arousal


class BranchOutput(NamedTuple):
    """What a branch returns; several ones are stacked along a new first axis R.

    Attributes:
        logits: float32 `[N, E]`.
        feature: float32 `[N, F]`, pooled, what the logits are made of.
        affect: float32 `[N, 2]`, valence and arousal; None without the head.
        channel_attention: float32 `[N, F]`, of the last block; None without attention.
        spatial_attention: float32 `[N, h, w]`, of the last block; None without attention.
    """

    logits: jax.Array
    feature: jax.Array
    affect: jax.Array | None
    channel_attention: jax.Array | None
    spatial_attention: jax.Array | None


class BlockOutput(NamedTuple):
    """What a block returns: its map `[N, h, w, C]`, and its attentions or None."""

    output: jax.Array
    channel_attention: jax.Array | None = None
    spatial_attention: jax.Array | None = None


class Block(nnx.Module):
    """Convolution, batch norm, ReLU, then a 2x2 max-pool and attention where there are such."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = KERNEL_SIZE,
        is_padded: bool = False,
        is_pooled: bool = False,
        attention_reduction: int | None = None,
        rngs: nnx.Rngs,
    ):
        """Makes the layers.

        Args:
            in_channels: Channels of the input.
            out_channels: Channels of the output.
            kernel_size: Height and width of the convolution's window.
            is_padded: Whether the convolution keeps height and width.
            is_pooled: Whether the map is halved.
            attention_reduction: See `CBAM`; None: no attention.
            rngs: Initialises the parameters as PyTorch does.
        """
        init = uniform_fan_in(in_channels * kernel_size**2)
        self.conv = nnx.Conv(
            in_channels,
            out_channels,
            (kernel_size, kernel_size),
            padding=kernel_size // 2 if is_padded else 0,
            kernel_init=init,
            bias_init=init,
            conv_general_dilated=convolve,
            rngs=rngs,
        )
        self.norm = BatchNorm(out_channels, rngs=rngs)
        self.is_pooled = is_pooled
        self.attention = (
            None
            if attention_reduction is None
            else CBAM(out_channels, reduction=attention_reduction, rngs=rngs)
        )

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None = None) -> BlockOutput:
        """Maps `[N, H, W, in]` to `[N, H', W', out]`."""
        x = nnx.relu(self.norm(self.conv(x), statistics))
        if self.is_pooled:
            x = max_pool_2x2(x)
        if self.attention is None:
            return BlockOutput(x)
        return BlockOutput(*self.attention(x, statistics))


class Base(nnx.Module):
    """The layers that all branches share."""

    def __init__(
        self,
        *,
        image_channels: int = 3,
        widths: Sequence[int] = (64, 128, 128, 128),
        pooled_layers: Sequence[int] = (2, 4),
        padded_layers: Sequence[int] = (),
        attention_reduction: int | None = 16,
        rngs: nnx.Rngs,
    ):
        """Makes the blocks.

        Args:
            image_channels: 1 for gray images, 3 for colour.
            widths: Channels of each layer; the first one's window is 5x5, the others' 3x3.
            pooled_layers: Layers, counted from 1, that a pool follows.
            padded_layers: Layers, counted from 1, that keep height and width.
            attention_reduction: See `CBAM`; None: no attention.
            rngs: Initialises the parameters.
        """
        self.blocks = nnx.List(
            Block(
                inputs,
                outputs,
                kernel_size=FIRST_KERNEL_SIZE if layer == 1 else KERNEL_SIZE,
                is_padded=layer in padded_layers,
                is_pooled=layer in pooled_layers,
                attention_reduction=attention_reduction,
                rngs=rngs,
            )
            for layer, (inputs, outputs) in enumerate(
                zip((image_channels, *widths[:-1]), widths, strict=True), start=1
            )
        )

    def __call__(self, image: jax.Array, statistics: BatchStatistics | None = None) -> jax.Array:
        """Shared features `[N, h, w, C]`, 20x20 of 128 channels at the paper's size."""
        x = image
        for block in self.blocks:
            x = block(x, statistics).output
        return x


class Branch(nnx.Module):
    """One member of the ensemble."""

    def __init__(
        self,
        *,
        in_channels: int = 128,
        widths: Sequence[int] = (128, 256, 256, 512),
        pooled_layers: Sequence[int] = (2,),
        padded_layers: Sequence[int] = (4,),
        attention_reduction: int | None = 16,
        has_affect: bool = False,
        num_expressions: int,
        rngs: nnx.Rngs,
    ):
        """Makes blocks and heads.

        Args:
            in_channels: Channels of the shared features.
            widths: Channels of each layer, all with windows of 3x3.
            pooled_layers: As in `Base`.
            padded_layers: As in `Base`.
            attention_reduction: See `CBAM`; None: no attention.
            has_affect: Whether a second head makes valence and arousal of the logits.
            num_expressions: Number of logits.
            rngs: Initialises the parameters.
        """
        self.blocks = nnx.List(
            Block(
                inputs,
                outputs,
                is_padded=layer in padded_layers,
                is_pooled=layer in pooled_layers,
                attention_reduction=attention_reduction,
                rngs=rngs,
            )
            for layer, (inputs, outputs) in enumerate(
                zip((in_channels, *widths[:-1]), widths, strict=True), start=1
            )
        )
        self.fc = linear(widths[-1], num_expressions, rngs=rngs)
        self.affect = linear(num_expressions, NUM_AFFECTS, rngs=rngs) if has_affect else None

    def __call__(
        self, shared: jax.Array, statistics: BatchStatistics | None = None
    ) -> BranchOutput:
        """Judges shared features `[N, h, w, C]`."""
        last = BlockOutput(shared)
        for block in self.blocks:
            last = block(last.output, statistics)
        feature = jnp.mean(last.output, axis=(1, 2), dtype=jnp.float32)  # [N, F]
        logits = self.fc(feature).astype(jnp.float32)
        affect = None
        if self.affect is not None:
            affect = self.affect(nnx.relu(logits)).astype(jnp.float32)
        return BranchOutput(logits, feature, affect, last.channel_attention, last.spatial_attention)

"""MA-Net: global multi-scale and local attention branches (spec ESR and MA-Net, C.1).

Sources: Zhao, Liu and Wang, IEEE TIP 2021; its features diversified, Heidari and Iosifidis 2022,
arXiv:2210.09381.

Images are float32 `[N, S, S, channels]`. The network in training mode is given the
`BatchStatistics` of its batch norms, in evaluation mode None.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.families.ma_net.blocks import DIRECTIONS, AttentionBlock, MultiScaleBlock
from tdgan_jax.networks.batch_norm import BatchNorm, BatchStatistics
from tdgan_jax.networks.layers import linear, max_pool_3x3_stride_2
from tdgan_jax.networks.resnet import ResidualBlock, convolution

NUM_PATCHES = 4
SIZE_DIVISOR = 16  # the map that is cut into quadrants has an eighth of the image's size
LOCAL_SHARE = 0.6  # beta

Parameters = dict[str, Any]


class MaNetOutput(NamedTuple):
    """What MA-Net returns; F is 512 at the paper's width, and h = w = S / 32.

    Attributes:
        local_logits: float32 `[N, E]`, logits 1.
        global_logits: float32 `[N, E]`, logits 2.
        local_features: `[4, N, h, w, F]` of the quadrants: upper left, upper right, lower left,
            lower right.
        pooled_features: float32 `[2, N, F]`, the local and the global branch's.
        spatial_attention: float32 `[N, 2 h, 2 w]` in [0, 1], of the local branch's last block.
    """

    local_logits: jax.Array
    global_logits: jax.Array
    local_features: jax.Array
    pooled_features: jax.Array
    spatial_attention: jax.Array


class LocalBranch(nnx.Module):
    """Attention blocks of one quadrant."""

    def __init__(self, width: int, *, attention_reduction: int, rngs: nnx.Rngs):
        """Makes the blocks.

        Args:
            width: Channels of the network's stem.
            attention_reduction: See `CBAM`.
            rngs: Initialises the parameters.
        """

        def stage(in_channels: int, out_channels: int, stride: int) -> nnx.List:
            return nnx.List(
                AttentionBlock(
                    in_channels if block == 0 else out_channels,
                    out_channels,
                    stride=stride if block == 0 else 1,
                    attention_reduction=attention_reduction,
                    rngs=rngs,
                )
                for block in range(2)
            )

        self.layer3 = stage(2 * width, 4 * width, 2)
        self.layer4 = stage(4 * width, 8 * width, 1)

    def __call__(
        self, x: jax.Array, statistics: BatchStatistics | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Feature map and last spatial attention of a quadrant, height and width halved."""
        attention = x[..., 0]
        for block in (*self.layer3, *self.layer4):
            x, attention = block(x, statistics)
        return x, attention


class GlobalBranch(nnx.Module):
    """Multi-scale blocks on the whole map."""

    def __init__(self, width: int, *, second_direction: str, rngs: nnx.Rngs):
        """Makes the blocks.

        Args:
            width: Channels of the network's stem.
            second_direction: See `MultiScaleBlock`.
            rngs: Initialises the parameters.
        """

        def stage(in_channels: int, out_channels: int) -> nnx.List:
            return nnx.List(
                MultiScaleBlock(
                    in_channels if block == 0 else out_channels,
                    out_channels,
                    stride=2 if block == 0 else 1,
                    second_direction=second_direction,
                    rngs=rngs,
                )
                for block in range(2)
            )

        self.layer3 = stage(2 * width, 4 * width)
        self.layer4 = stage(4 * width, 8 * width)

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None = None) -> jax.Array:
        """Maps `[N, H, W, C]` to a quarter of the size."""
        for block in (*self.layer3, *self.layer4):
            x = block(x, statistics)
        return x


class MANet(nnx.Module):
    """Stem and two residual stages, then four local branches and a global one."""

    def __init__(
        self,
        *,
        width: int = 64,
        image_channels: int = 3,
        attention_reduction: int = 16,
        second_direction: str = "forward",
        num_expressions: int,
        rngs: nnx.Rngs,
    ):
        """Makes the network.

        Args:
            width: Channels of the stem; the stages have 1, 2, 4 and 8 times as many.
            image_channels: 1 for gray images, 3 for colour.
            attention_reduction: See `CBAM`.
            second_direction: See `MultiScaleBlock`.
            num_expressions: Number of logits of each of the two heads.
            rngs: Initialises convolutions as He et al. do, linear layers as PyTorch does.
        """

        def stage(in_channels: int, out_channels: int, stride: int) -> nnx.List:
            return nnx.List(
                ResidualBlock(
                    in_channels if block == 0 else out_channels,
                    out_channels,
                    stride=stride if block == 0 else 1,
                    is_bottleneck=False,
                    rngs=rngs,
                )
                for block in range(2)
            )

        self.conv1 = convolution(image_channels, width, 7, stride=2, rngs=rngs)
        self.norm1 = BatchNorm(width, rngs=rngs)
        self.layer1 = stage(width, width, 1)
        self.layer2 = stage(width, 2 * width, 2)
        self.local_branches = nnx.List(
            LocalBranch(width, attention_reduction=attention_reduction, rngs=rngs)
            for _ in range(NUM_PATCHES)
        )
        self.global_branch = GlobalBranch(width, second_direction=second_direction, rngs=rngs)
        self.local_fc = linear(8 * width, num_expressions, rngs=rngs)
        self.global_fc = linear(8 * width, num_expressions, rngs=rngs)

    def shared(self, image: jax.Array, statistics: BatchStatistics | None = None) -> jax.Array:
        """What both kinds of branches look at: `[N, S/8, S/8, 2 * width]` of `[N, S, S, C]`."""
        x = self.conv1(image)  # [N, S/2, S/2, width]
        x = nnx.relu(self.norm1(x, statistics))
        x = max_pool_3x3_stride_2(x, pads_start=True)  # [N, S/4, S/4, width]
        for block in (*self.layer1, *self.layer2):
            x = block(x, statistics)
        return x

    def __call__(self, image: jax.Array, statistics: BatchStatistics | None = None) -> MaNetOutput:
        """Judges images.

        Args:
            image: `[N, S, S, image_channels]`, S a multiple of 16.
            statistics: What training takes as a batch; None for evaluation.
        """
        shared = self.shared(image, statistics)
        seen = [
            branch(quadrant, statistics)
            for branch, quadrant in zip(self.local_branches, quadrants(shared), strict=True)
        ]
        local = jnp.stack([feature for feature, _ in seen])  # [4, N, S/32, S/32, F]
        whole = self.global_branch(shared, statistics)  # [N, S/32, S/32, F]
        pooled = jnp.stack(
            [
                jnp.mean(local, axis=(0, 2, 3), dtype=jnp.float32),
                jnp.mean(whole, axis=(1, 2), dtype=jnp.float32),
            ]
        )  # [2, N, F]
        return MaNetOutput(
            self.local_fc(pooled[0]).astype(jnp.float32),
            self.global_fc(pooled[1]).astype(jnp.float32),
            local,
            pooled,
            put_together([attention[..., None] for _, attention in seen])[..., 0],
        )


def quadrants(x: jax.Array) -> list[jax.Array]:
    """Upper left, upper right, lower left and lower right quarter of `[N, H, W, C]`."""
    return [part for half in jnp.split(x, 2, axis=1) for part in jnp.split(half, 2, axis=2)]


def put_together(parts: list[jax.Array]) -> jax.Array:
    """The inverse of `quadrants`."""
    halves = [jnp.concatenate(parts[i : i + 2], axis=2) for i in (0, 2)]
    return jnp.concatenate(halves, axis=1)


def mixed_logits(output: MaNetOutput, *, local_share: float = LOCAL_SHARE) -> jax.Array:
    """What is predicted with, `[N, E]`: beta of the local logits, the rest of the global ones."""
    return local_share * output.local_logits + (1 - local_share) * output.global_logits


class Definitions(NamedTuple):
    """The network without parameters and statistics: hashable, merged with both to be called."""

    network: nnx.GraphDef[MANet]


def split_networks(network: MANet) -> tuple[Definitions, dict[str, Parameters]]:
    """Separates the network into its definition (hashable) and its tree, by the name `network`."""
    definition, state = nnx.split(network)
    return Definitions(definition), {"network": nnx.to_pure_dict(state)}


def make_ma_net(
    *,
    num_expressions: int,
    image_size_px: int = 224,
    image_channels: int = 3,
    width: int = 64,
    attention_reduction: int = 16,
    second_direction: str = "forward",
    rngs: nnx.Rngs,
) -> MANet:
    """Makes the network; the defaults are the paper's.

    Args:
        num_expressions: Classes of both heads.
        image_size_px: Height and width of the images, a multiple of 16.
        image_channels: 1 for gray images, 3 for colour.
        width: Channels of the stem, 64 in the paper; the last layers have 8 times as many.
        attention_reduction: Channels over the hidden units of the attention to channels.
        second_direction: Which way the second sub-body of a multi-scale block goes: `"forward"`,
            or `"reversed"` as its program has it since April 2023.
        rngs: Initialises all parameters.

    Raises:
        ValueError: If a size is impossible or an option unknown; names the field.
    """
    sizes = {
        "num_expressions": num_expressions,
        "image_channels": image_channels,
        "width": width,
        "attention_reduction": attention_reduction,
    }
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    if image_size_px < SIZE_DIVISOR or image_size_px % SIZE_DIVISOR:
        raise ValueError(f"image_size_px must be a multiple of {SIZE_DIVISOR}, got {image_size_px}")
    if second_direction not in DIRECTIONS:
        raise ValueError(
            f"second_direction is {second_direction!r}; known: {', '.join(DIRECTIONS)}"
        )
    return MANet(
        width=width,
        image_channels=image_channels,
        attention_reduction=attention_reduction,
        second_direction=second_direction,
        num_expressions=num_expressions,
        rngs=rngs,
    )

"""U-Net with self-attention and PatchGAN: IF-GAN's conditional GAN (spec IF-GAN 3 and 4).

Layers and initialisation are those of pix2pix (Isola et al. 2017, arXiv:1611.07004) where IF-GAN
says nothing. Images are `[N, S, S, channels]` in [-1, 1]. A network in training mode is given the
`BatchStatistics` of its batch norms, one in evaluation mode None.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.attention import SelfAttention
from tdgan_jax.networks.batch_norm import BatchNorm, BatchStatistics
from tdgan_jax.networks.layers import conv_transpose_4x4_stride_2, convolve, per_example_dropout

LEAKY_SLOPE = 0.2
SKIP_SOURCES = ("convolution", "attended")

kernel_init = nnx.initializers.normal(0.02)


def scale_init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """N(1, 0.02^2), the scale of pix2pix's batch norms (spec IF-GAN 3.1)."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class Downsampling(nnx.Module):
    """Convolution 4x4 with padding 1, then batch norm unless it is an outer layer."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 2,
        has_norm: bool,
        use_bias: bool,
        rngs: nnx.Rngs,
    ):
        """Makes a unit that halves height and width, or with stride 1 shortens them by 1."""
        self.conv = nnx.Conv(
            in_channels,
            out_channels,
            (4, 4),
            strides=stride,
            padding=1,
            use_bias=use_bias,
            kernel_init=kernel_init,
            conv_general_dilated=convolve,
            rngs=rngs,
        )
        self.norm = BatchNorm(out_channels, scale_init=scale_init, rngs=rngs) if has_norm else None

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, H/2, W/2, out]`, without an activation."""
        x = self.conv(x)
        return x if self.norm is None else self.norm(x, statistics)


class Upsampling(nnx.Module):
    """Transposed convolution 4x4, stride 2, padding 1; batch norm, or a bias in the last layer."""

    def __init__(self, in_channels: int, out_channels: int, *, is_last: bool, rngs: nnx.Rngs):
        """Makes a unit that doubles height and width."""
        self.dtype = None  # as of flax's layers, see execution.py
        self.kernel = nnx.Param(kernel_init(rngs.params(), (4, 4, in_channels, out_channels)))
        self.bias = nnx.Param(jnp.zeros((out_channels,))) if is_last else None
        self.norm = None if is_last else BatchNorm(out_channels, scale_init=scale_init, rngs=rngs)

    def __call__(self, x: jax.Array, statistics: BatchStatistics | None) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, 2H, 2W, out]`, without an activation."""
        x = conv_transpose_4x4_stride_2(x, self.kernel[...], dtype=self.dtype)
        if self.norm is not None:
            return self.norm(x, statistics)
        assert self.bias is not None
        return x + self.bias[...].reshape(1, 1, 1, -1).astype(x.dtype)


class Generator(nnx.Module):
    """U-Net with self-attention on encoding path, skip and decoding path (spec IF-GAN 3.1, 3.3).

    Level k is the map of S / 2^k pixels that the k-th downsampling makes.
    """

    def __init__(
        self,
        *,
        image_channels: int = 3,
        width: int = 64,
        num_levels: int = 5,
        encoder_attention_level: int = 2,
        skip_attention_level: int = 2,
        decoder_attention_level: int = 2,
        skip_source: str = "convolution",
        attention_reduction: int = 8,
        attention_has_output_convolution: bool = False,
        attention_chunk_size: int = 448,
        dropout_rate: float = 0.0,
        rngs: nnx.Rngs,
    ):
        """Makes the generator; the defaults are table 3.1 of the spec.

        Args:
            image_channels: 1 for gray images, 3 for colour.
            width: Channels of level 1; each level has twice as many, at most 8 times.
            num_levels: Number of downsamplings; the last level is the bottleneck.
            encoder_attention_level: Level whose map goes attended to the next; 0: none.
            skip_attention_level: Level whose copy for the decoder is attended; 0: none.
            decoder_attention_level: Level whose decoded map is attended; 0: none.
            skip_source: What the decoder gets of a level with attention: the `"convolution"`'s
                map or the `"attended"` one.
            attention_reduction: C1 / C2 of the attention modules.
            attention_has_output_convolution: Whether these end in a 1x1 convolution.
            attention_chunk_size: Queries whose attention is in memory at a time.
            dropout_rate: Of the decoder's innermost layer, in training.
            rngs: Initialises the parameters as pix2pix does.

        Raises:
            ValueError: If there are fewer than two levels, an attention stands at no inner level,
                the skip's source is unknown, or the dropout is no probability below 1.
        """
        levels = (encoder_attention_level, skip_attention_level, decoder_attention_level)
        if num_levels < 2 or not all(0 <= level < num_levels for level in levels):
            raise ValueError(
                f"a generator of {num_levels} levels (at least 2) has its attention at levels 1 to "
                f"{num_levels - 1}, or 0 for none; got {levels}"
            )
        if skip_source not in SKIP_SOURCES:
            raise ValueError(f"skip_source is {skip_source!r}; known: {', '.join(SKIP_SOURCES)}")
        if not 0 <= dropout_rate < 1:
            raise ValueError(f"the generator's dropout rate must be in [0, 1), got {dropout_rate}")
        widths = [width * min(2**i, 8) for i in range(num_levels)]

        def attention(level: int) -> SelfAttention | None:
            if level == 0:
                return None
            return SelfAttention(
                widths[level - 1],
                reduction=attention_reduction,
                has_output_convolution=attention_has_output_convolution,
                chunk_size=attention_chunk_size,
                kernel_init=kernel_init,
                rngs=rngs,
            )

        self.skip_source = skip_source
        self.dropout_rate = dropout_rate
        self.attention_levels = levels
        self.downsamplings = nnx.List(
            Downsampling(
                inputs,
                outputs,
                has_norm=0 < i < num_levels - 1,
                use_bias=i == 0,
                rngs=rngs,
            )
            for i, (inputs, outputs) in enumerate(
                zip([image_channels, *widths[:-1]], widths, strict=True)
            )
        )
        # From the bottleneck outwards; beside the decoded map stands the encoder's.
        in_widths = [widths[-1], *(2 * w for w in reversed(widths[:-1]))]
        out_widths = [*reversed(widths[:-1]), image_channels]
        self.upsamplings = nnx.List(
            Upsampling(inputs, outputs, is_last=i == num_levels - 1, rngs=rngs)
            for i, (inputs, outputs) in enumerate(zip(in_widths, out_widths, strict=True))
        )
        self.encoder_attention, self.skip_attention, self.decoder_attention = map(attention, levels)

    def encode(
        self, image: jax.Array, statistics: BatchStatistics | None
    ) -> tuple[list[jax.Array], jax.Array]:
        """The decoder's copies of levels 1 to num_levels - 1, and the bottleneck."""
        encoder_level, skip_level, _ = self.attention_levels
        skips = []
        x = image
        for level, downsampling in enumerate(self.downsamplings, start=1):
            if level > 1:
                x = nnx.leaky_relu(x, LEAKY_SLOPE)
            skip = x = downsampling(x, statistics)  # [N, S/2, S/2, 64] ... [N, S/32, S/32, 512]
            if level == encoder_level and self.encoder_attention is not None:
                x = self.encoder_attention(x)
                skip = x if self.skip_source == "attended" else skip
            if level == skip_level and self.skip_attention is not None:
                skip = self.skip_attention(skip)
            skips.append(skip)
        return skips[:-1], x

    def __call__(
        self,
        image: jax.Array,
        statistics: BatchStatistics | None = None,
        *,
        dropout_keys: jax.Array | None = None,
    ) -> jax.Array:
        """Draws average faces.

        Args:
            image: I_SE, `[N, S, S, channels]` in [-1, 1], S a multiple of 2^num_levels.
            statistics: What training takes as a batch; None for evaluation.
            dropout_keys: `[N]` random keys; None switches dropout off.

        Returns:
            I_AE as the network imagines it, of the same shape, in (-1, 1).
        """
        skips, x = self.encode(image, statistics)
        for level in reversed(range(1, len(self.upsamplings))):
            x = self._decoded(level, skips, x, statistics, dropout_keys)
            if level == self.attention_levels[2] and self.decoder_attention is not None:
                x = self.decoder_attention(x)
        x = jnp.concatenate([skips[0], x], axis=-1)  # [N, S/2, S/2, 128]
        x = self.upsamplings[-1](nnx.relu(x), statistics)  # [N, S, S, channels]
        # Images are float32 in every precision: eight bits of them would be seen.
        return jnp.tanh(x.astype(jnp.float32))

    def _decoded(
        self,
        level: int,
        skips: list[jax.Array],
        x: jax.Array,
        statistics: BatchStatistics | None = None,
        dropout_keys: jax.Array | None = None,
    ) -> jax.Array:
        """Map of a level from the decoded map of the level below, before its attention."""
        is_innermost = level == len(skips)
        if not is_innermost:
            x = jnp.concatenate([skips[level], x], axis=-1)
        x = self.upsamplings[len(skips) - level](nnx.relu(x), statistics)
        return per_example_dropout(x, dropout_keys, rate=self.dropout_rate) if is_innermost else x

    def attention_maps(self, image: jax.Array, positions: jax.Array) -> jax.Array:
        """What positions attend to in the decoding path, the last module (spec IF-GAN 12).

        Args:
            image: `[N, S, S, channels]` in [-1, 1].
            positions: int `[Q, 2]`, row and column in the map of S / 2^level pixels.

        Returns:
            float32 `[N, Q, S / 2^level, S / 2^level]`; each map sums to 1.

        Raises:
            ValueError: If the generator has no attention in the decoding path.
        """
        if self.decoder_attention is None:
            raise ValueError("this generator has no attention in its decoding path")
        skips, x = self.encode(image, None)
        for level in reversed(range(self.attention_levels[2], len(self.upsamplings))):
            x = self._decoded(level, skips, x)
        return self.decoder_attention.maps(x, positions)


class Discriminator(nnx.Module):
    """PatchGAN on pairs of images (pix2pix, arXiv:1611.07004; spec IF-GAN 4)."""

    def __init__(
        self,
        *,
        image_channels: int = 3,
        width: int = 64,
        num_strided_layers: int = 3,
        rngs: nnx.Rngs,
    ):
        """Makes the discriminator.

        Args:
            image_channels: Channels of each image of a pair.
            width: Channels of the first layer; each has twice as many, at most 8 times.
            num_strided_layers: Layers of stride 2; three make patches of 70x70 pixels.
            rngs: Initialises the parameters as pix2pix does.
        """
        widths = [width * min(2**i, 8) for i in range(num_strided_layers + 1)]
        self.layers = nnx.List(
            Downsampling(
                inputs,
                outputs,
                stride=2 if i < num_strided_layers else 1,
                has_norm=i > 0,
                use_bias=i == 0,
                rngs=rngs,
            )
            for i, (inputs, outputs) in enumerate(
                zip([2 * image_channels, *widths[:-1]], widths, strict=True)
            )
        )
        self.to_logits = Downsampling(
            widths[-1], 1, stride=1, has_norm=False, use_bias=True, rngs=rngs
        )

    def __call__(
        self,
        condition: jax.Array,
        candidate: jax.Array,
        statistics: BatchStatistics | None = None,
    ) -> jax.Array:
        """Judges pairs.

        Args:
            condition: I_SE, `[N, S, S, channels]` in [-1, 1].
            candidate: A true or drawn average face, of the same shape.
            statistics: What training takes as a batch; None for evaluation.

        Returns:
            Logits `[N, P, P, 1]`, one a patch; P = 26 for S = 224. Positive: a true pair.
        """
        x = jnp.concatenate([condition, candidate], axis=-1)
        for layer in self.layers:
            x = nnx.leaky_relu(layer(x, statistics), LEAKY_SLOPE)
        return self.to_logits(x, statistics)

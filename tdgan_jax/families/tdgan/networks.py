"""TDGAN, the Two-branch Disentangled GAN (Xie, Hu, Chen, IEEE TCSVT 31(6), 2021; spec TDGAN 2).

A face encoder and an expression encoder each see one image; the decoder joins the face feature of
the one with the expression feature of the other and draws the first face with the second
expression. The expression head classifies the expression feature. Two discriminators judge the
generated face: one names the person (or "fake"), the other the expression.

Images are float32 `[N, S, S, channels]` in [0, 1]; features are `[N, S/16, S/16, C]`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.layers import (
    Initializer,
    InstanceNorm,
    conv_transpose_4x4_stride_2,
    max_pool_3x3_stride_2,
    per_example_dropout,
    uniform_fan_in,
)

INCEPTION_RESIDUAL_SCALE = 0.17
ENCODER_NORM_EPSILON = 1e-3
DECODER_NORM_EPSILON = 1e-5
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


class TransposedConvolution(nnx.Module):
    """Transposed convolution 4x4, stride 2, padding 1, without bias: doubles the size."""

    def __init__(self, in_channels: int, out_channels: int, *, rngs: nnx.Rngs):
        """Makes the kernel `[4, 4, in, out]`, N(0, 0.02^2); the norm after it sets the scale."""
        kernel_shape = (4, 4, in_channels, out_channels)
        self.dtype = None  # as of flax's layers, see execution.py
        self.kernel = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), kernel_shape))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, 2H, 2W, out]`."""
        return conv_transpose_4x4_stride_2(x, self.kernel[...], dtype=self.dtype)


class Upsampling(nnx.Module):
    """Transposed convolution, non-affine instance norm, ReLU (spec TDGAN 2.5)."""

    def __init__(self, in_channels: int, out_channels: int, *, rngs: nnx.Rngs):
        """Makes a unit that doubles height and width."""
        self.conv = TransposedConvolution(in_channels, out_channels, rngs=rngs)
        self.norm = InstanceNorm(
            out_channels, epsilon=DECODER_NORM_EPSILON, affine=False, rngs=rngs
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, 2H, 2W, out]`, at least 0."""
        x = self.conv(x)
        x = self.norm(x)
        return nnx.relu(x)


class Decoder(nnx.Module):
    """Embedding module and decoder D_g: features and noise to an image (spec TDGAN 2.5)."""

    def __init__(
        self,
        *,
        image_channels: int = 1,
        feature_channels: int = 128,
        noise_channels: int = 256,
        embedding_channels: int = 128,
        num_residual_convolutions: int = 6,
        widths: Sequence[int] = (512, 256, 128, 64),
        rngs: nnx.Rngs,
    ):
        """Makes the decoder.

        Args:
            image_channels: 1 for gray images, 3 for colour.
            feature_channels: Channels of the expression feature and of the face feature each.
            noise_channels: N_z, channels of the noise; 0 leaves the noise out.
            embedding_channels: Channels of the embedding.
            num_residual_convolutions: N_b, residual convolutions of the embedding.
            widths: Channels after each of the four upsamplings.
            rngs: Initialises the kernels.
        """

        def embedding(in_channels: int, released_channels: int) -> nnx.Conv:
            return nnx.Conv(
                in_channels,
                embedding_channels,
                (3, 3),
                padding=1,
                kernel_init=released_normal(in_channels, released_channels),
                bias_init=uniform_fan_in(9 * in_channels),
                rngs=rngs,
            )

        self.embedding = embedding(2 * feature_channels + noise_channels, 512)
        self.residual_convolutions = nnx.List(
            embedding(embedding_channels, 128) for _ in range(num_residual_convolutions)
        )
        in_widths = (embedding_channels, *widths[:-1])
        self.upsamplings = nnx.List(
            Upsampling(in_width, out_width, rngs=rngs)
            for in_width, out_width in zip(in_widths, widths, strict=True)
        )
        # A transposed convolution of stride 1 is a convolution with the kernel turned by 180
        # degrees; torch_weights turns it.
        self.to_image = nnx.Conv(
            widths[-1],
            image_channels,
            (3, 3),
            padding=1,
            use_bias=False,
            kernel_init=released_normal(widths[-1], 64),
            rngs=rngs,
        )

    def __call__(
        self, expression_feature: jax.Array, face_feature: jax.Array, noise: jax.Array | None
    ) -> jax.Array:
        """Draws faces.

        Args:
            expression_feature: d_e, `[N, S/16, S/16, feature_channels]`.
            face_feature: d_f, of the same shape.
            noise: d_n, `[N, S/16, S/16, noise_channels]` uniform in [0, 1); None without noise.

        Returns:
            Images `[N, S, S, image_channels]` in (0, 1).
        """
        parts = [expression_feature, face_feature]
        if noise is not None:
            parts.append(noise)
        x = nnx.relu(self.embedding(jnp.concatenate(parts, axis=-1)))  # [N, S/16, S/16, 128]
        for conv in self.residual_convolutions:
            x = x + nnx.relu(conv(x))
        for upsampling in self.upsamplings:
            x = upsampling(x)  # [N, S/8, S/8, 512] ... [N, S, S, 64]
        # Images are float32 in every precision: eight bits of them would be seen.
        return nnx.sigmoid(self.to_image(x).astype(jnp.float32))  # [N, S, S, image_channels]


class Judgement(NamedTuple):
    """What a discriminator returns.

    Attributes:
        feature: Its encoder's output, `[N, S/16, S/16, C]`.
        logits: `[N, num_classes]`.
    """

    feature: jax.Array
    logits: jax.Array


class Discriminator(nnx.Module):
    """Encoder and head; both discriminators have this form (spec TDGAN 2.6)."""

    def __init__(self, encoder: Encoder, head: Head):
        """Joins an encoder and a head that belong to no other network."""
        self.encoder = encoder
        self.head = head

    def __call__(self, image: jax.Array, *, dropout_keys: jax.Array | None = None) -> Judgement:
        """Judges images `[N, S, S, channels]` in [0, 1]; keys `[N]` switch dropout on."""
        feature = self.encoder(image)
        return Judgement(feature, self.head(feature, dropout_keys=dropout_keys))


class TDGAN(NamedTuple):
    """The six networks; the first four are the generator.

    Attributes:
        face_encoder: E_f.
        expression_encoder: E_e.
        expression_head: M_ER, on features of the expression encoder.
        decoder: D_g.
        face_discriminator: D_f, K + 1 logits; the last one means "fake".
        expression_discriminator: D_e, one logit per expression.
    """

    face_encoder: Encoder
    expression_encoder: Encoder
    expression_head: Head
    decoder: Decoder
    face_discriminator: Discriminator
    expression_discriminator: Discriminator


class Definitions(NamedTuple):
    """The six networks without their parameters: hashable, merged with parameters to be called."""

    face_encoder: nnx.GraphDef[Encoder]
    expression_encoder: nnx.GraphDef[Encoder]
    expression_head: nnx.GraphDef[Head]
    decoder: nnx.GraphDef[Decoder]
    face_discriminator: nnx.GraphDef[Discriminator]
    expression_discriminator: nnx.GraphDef[Discriminator]


def scaled(width: int, multiplier: float) -> int:
    """Number of channels or features of a layer of the paper under a width multiplier."""
    return max(1, round(width * multiplier))


def make_tdgan(
    *,
    num_identities: int,
    num_expressions: int,
    image_size_px: int = 128,
    image_channels: int = 1,
    width_multiplier: float = 1.0,
    num_inception_blocks: int = 4,
    noise_channels: int = 256,
    num_residual_convolutions: int = 6,
    dropout_rate: float = 0.5,
    rngs: nnx.Rngs,
) -> TDGAN:
    """Makes the six networks; the defaults are the paper's sizes (spec TDGAN 2 and 8.5).

    Args:
        num_identities: K; the face discriminator has K + 1 classes.
        num_expressions: C.
        image_size_px: Height and width of the images, a multiple of 16.
        image_channels: 1 for gray images, 3 for colour.
        width_multiplier: Scales every width, heads included, but not the noise.
        num_inception_blocks: Inception-residual blocks of each encoder.
        noise_channels: N_z.
        num_residual_convolutions: N_b.
        dropout_rate: Dropout of the three heads.
        rngs: Initialises all parameters.

    Returns:
        The networks, sharing nothing.

    Raises:
        ValueError: If the image size is not a positive multiple of 16.
    """
    if image_size_px <= 0 or image_size_px % ENCODER_STRIDE:
        raise ValueError(f"image_size_px must be a multiple of 16, got {image_size_px}")
    feature_size = image_size_px // ENCODER_STRIDE
    feature_channels = scaled(128, width_multiplier)

    def encoder() -> Encoder:
        return Encoder(
            image_channels=image_channels,
            widths=tuple(scaled(width, width_multiplier) for width in (32, 64, 128, 128)),
            branch_channels=scaled(16, width_multiplier),
            num_blocks=num_inception_blocks,
            rngs=rngs,
        )

    def head(num_classes: int) -> Head:
        return Head(
            feature_shape=(feature_size, feature_size, feature_channels),
            hidden_features=scaled(1024, width_multiplier),
            num_classes=num_classes,
            dropout_rate=dropout_rate,
            rngs=rngs,
        )

    decoder = Decoder(
        image_channels=image_channels,
        feature_channels=feature_channels,
        noise_channels=noise_channels,
        embedding_channels=scaled(128, width_multiplier),
        num_residual_convolutions=num_residual_convolutions,
        widths=tuple(scaled(width, width_multiplier) for width in (512, 256, 128, 64)),
        rngs=rngs,
    )
    return TDGAN(
        face_encoder=encoder(),
        expression_encoder=encoder(),
        expression_head=head(num_expressions),
        decoder=decoder,
        face_discriminator=Discriminator(encoder(), head(num_identities + 1)),
        expression_discriminator=Discriminator(encoder(), head(num_expressions)),
    )

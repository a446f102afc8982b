"""TDGAN, the Two-branch Disentangled GAN (Xie, Hu, Chen, IEEE TCSVT 31(6), 2021; spec TDGAN 2).

A face encoder and an expression encoder each see one image; the decoder joins the face feature of
the one with the expression feature of the other and draws the first face with the second
expression. The expression head classifies the expression feature. Two discriminators judge the
generated face: one names the person (or "fake"), the other the expression.

Images are float32 `[N, S, S, channels]` in [0, 1]; features are `[N, S/16, S/16, C]`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.inception import (
    ENCODER_STRIDE,
    Encoder,
    Head,
    make_encoder,
    make_head,
    released_normal,
    scaled,
)
from tdgan_jax.networks.layers import (
    InstanceNorm,
    average_pool_2x2,
    conv_transpose_4x4_stride_2,
    convolve,
    normalise_pixels,
    resize_conv_3x3,
    uniform_fan_in,
)
from tdgan_jax.steps.state import split

DECODER_NORM_EPSILON = 1e-5
UPSAMPLINGS = ("transposed", "resize")
DECODER_NORMS = ("instance", "pixel")
LOGIT_MARGIN = 0.02  # a face image is clipped to [margin, 1 - margin]: its logits are finite


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


class ResizeConvolution(nnx.Module):
    """Repeats pixels and convolves 3x3, without bias: doubles the size without a grid."""

    def __init__(self, in_channels: int, out_channels: int, *, rngs: nnx.Rngs):
        """Makes the kernel `[3, 3, in, out]`, N(0, 0.02^2); the norm after it sets the scale."""
        kernel_shape = (3, 3, in_channels, out_channels)
        self.dtype = None  # as of flax's layers, see execution.py
        self.kernel = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), kernel_shape))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, 2H, 2W, out]`."""
        return resize_conv_3x3(x, self.kernel[...], dtype=self.dtype)


class Upsampling(nnx.Module):
    """Doubles the size, normalises, ReLU; by default as released (spec TDGAN 2.5)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        upsampling: str = "transposed",
        norm: str = "instance",
        rngs: nnx.Rngs,
    ):
        """Makes a unit that doubles height and width.

        Args:
            in_channels: Channels of the input.
            out_channels: Channels of the output.
            upsampling: One of `UPSAMPLINGS`.
            norm: One of `DECODER_NORMS`; none has parameters.
            rngs: Initialises the kernel.
        """
        convolution = TransposedConvolution if upsampling == "transposed" else ResizeConvolution
        self.conv = convolution(in_channels, out_channels, rngs=rngs)
        self.norm = (
            InstanceNorm(out_channels, epsilon=DECODER_NORM_EPSILON, affine=False, rngs=rngs)
            if norm == "instance"
            else None
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, in]` to `[N, 2H, 2W, out]`, at least 0."""
        x = self.conv(x)
        x = normalise_pixels(x) if self.norm is None else self.norm(x)
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
        upsampling: str = "transposed",
        norm: str = "instance",
        sees_face: bool = False,
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
            upsampling: See `Upsampling`, as for the next one.
            norm: See `Upsampling`.
            sees_face: Whether the decoder changes the face image, which it sees at every
                resolution, instead of drawing a new one from the features alone.
            rngs: Initialises the kernels.
        """
        self.sees_face = sees_face
        seen = image_channels if sees_face else 0

        def embedding(in_channels: int, released_channels: int) -> nnx.Conv:
            return nnx.Conv(
                in_channels,
                embedding_channels,
                (3, 3),
                padding=1,
                kernel_init=released_normal(in_channels, released_channels),
                bias_init=uniform_fan_in(9 * in_channels),
                conv_general_dilated=convolve,
                rngs=rngs,
            )

        self.embedding = embedding(2 * feature_channels + noise_channels, 512)
        self.residual_convolutions = nnx.List(
            embedding(embedding_channels, 128) for _ in range(num_residual_convolutions)
        )
        in_widths = (embedding_channels, *widths[:-1])
        self.upsamplings = nnx.List(
            Upsampling(in_width + seen, out_width, upsampling=upsampling, norm=norm, rngs=rngs)
            for in_width, out_width in zip(in_widths, widths, strict=True)
        )
        # A transposed convolution of stride 1 is a convolution with the kernel turned by 180
        # degrees; torch_weights turns it.
        self.to_image = nnx.Conv(
            widths[-1] + seen,
            image_channels,
            (3, 3),
            padding=1,
            use_bias=False,
            kernel_init=released_normal(widths[-1], 64),
            conv_general_dilated=convolve,
            rngs=rngs,
        )

    def __call__(
        self,
        expression_feature: jax.Array,
        face_feature: jax.Array,
        noise: jax.Array | None,
        face_image: jax.Array | None = None,
    ) -> jax.Array:
        """Draws faces.

        Args:
            expression_feature: d_e, `[N, S/16, S/16, feature_channels]`.
            face_feature: d_f, of the same shape.
            noise: d_n, `[N, S/16, S/16, noise_channels]` uniform in [0, 1); None without noise.
            face_image: I_f, `[N, S, S, image_channels]` in [0, 1], for a decoder that sees it.

        Returns:
            Images `[N, S, S, image_channels]` in (0, 1).

        Raises:
            ValueError: If the face image that it changes is missing.
        """
        faces: list[jax.Array | None] = [None] * (len(self.upsamplings) + 1)
        start: jax.Array | float = 0.0  # of the image's logits
        if self.sees_face:
            if face_image is None:
                raise ValueError("this decoder changes a face image; give face_image")
            faces = [*image_pyramid(face_image, len(self.upsamplings))]
            start = logits_of_image(face_image)
        parts = [expression_feature, face_feature]
        if noise is not None:
            parts.append(noise)
        x = nnx.relu(self.embedding(jnp.concatenate(parts, axis=-1)))  # [N, S/16, S/16, 128]
        for conv in self.residual_convolutions:
            x = x + nnx.relu(conv(x))
        for upsampling, face in zip(self.upsamplings, faces[:-1], strict=True):
            x = upsampling(with_face(x, face))  # [N, S/8, S/8, 512] ... [N, S, S, 64]
        x = self.to_image(with_face(x, faces[-1]))  # [N, S, S, image_channels]
        # Images are float32 in every precision: eight bits of them would be seen.
        return nnx.sigmoid(start + x.astype(jnp.float32))


def image_pyramid(image: jax.Array, num_halvings: int) -> list[jax.Array]:
    """Images at several resolutions, the smallest first.

    Args:
        image: `[N, S, S, C]` in [0, 1].
        num_halvings: H.

    Returns:
        H + 1 arrays in [-1/2, 1/2], of S/2^H, ..., S/2 and S pixels.
    """
    levels = [image - 0.5]
    for _ in range(num_halvings):
        levels.append(average_pool_2x2(levels[-1]))
    return levels[::-1]


def with_face(x: jax.Array, face: jax.Array | None) -> jax.Array:
    """Features `[N, h, w, C]` and, where there is one, the face of their size as more channels."""
    return x if face is None else jnp.concatenate([x, face.astype(x.dtype)], axis=-1)


def logits_of_image(image: jax.Array) -> jax.Array:
    """The inverse of the logistic function of images in [0, 1], at most 3.9 from 0."""
    clipped = jnp.clip(image, LOGIT_MARGIN, 1 - LOGIT_MARGIN)
    return jnp.log(clipped) - jnp.log1p(-clipped)


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
    upsampling: str = "transposed",
    decoder_norm: str = "instance",
    decoder_sees_face: bool = False,
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
        upsampling: One of `UPSAMPLINGS`; the released one is "transposed".
        decoder_norm: One of `DECODER_NORMS`; the released one is "instance".
        decoder_sees_face: Whether the decoder changes the face image instead of drawing a new one.
        rngs: Initialises all parameters.

    Returns:
        The networks, sharing nothing.

    Raises:
        ValueError: If the image size is not a positive multiple of 16, or a name is unknown.
    """
    for field, value, known in (
        ("upsampling", upsampling, UPSAMPLINGS),
        ("decoder_norm", decoder_norm, DECODER_NORMS),
    ):
        if value not in known:
            raise ValueError(f"{field} is {value!r}; known: {', '.join(known)}")
    if image_size_px <= 0 or image_size_px % ENCODER_STRIDE:
        raise ValueError(f"image_size_px must be a multiple of 16, got {image_size_px}")
    feature_channels = scaled(128, width_multiplier)

    encoder = partial(
        make_encoder,
        image_channels=image_channels,
        width_multiplier=width_multiplier,
        num_blocks=num_inception_blocks,
        rngs=rngs,
    )

    def head(num_classes: int) -> Head:
        return make_head(
            image_size_px=image_size_px,
            width_multiplier=width_multiplier,
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
        upsampling=upsampling,
        norm=decoder_norm,
        sees_face=decoder_sees_face,
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


def split_networks(networks: TDGAN) -> tuple[Definitions, dict[str, Any]]:
    """Separates the networks into definitions and parameter trees by network name."""
    return split(networks, Definitions)

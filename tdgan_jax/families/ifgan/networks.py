"""IF-GAN, the identity-free conditional GAN (Cai et al., ICIP 2021, arXiv:1903.08051; spec IF-GAN).

The generator draws the expression of its input on the face of an average person; a discriminator
judges pairs of the input and a drawn or a true average face; a classifier names the expression of
such pairs.

Images are `[N, S, S, channels]` in [-1, 1]. A network in training mode is given the
`BatchStatistics` of its batch norms, one in evaluation mode None.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.families.ifgan.conditional_gan import Discriminator, Generator
from tdgan_jax.networks.batch_norm import BatchStatistics
from tdgan_jax.networks.resnet import ResNet
from tdgan_jax.steps.state import split

# How the classifier sees a pair; the paper does not say (spec IF-GAN 2).
TUPLE_FORMS = (
    "concatenation",  # along the channels; the first convolution has twice as many
    "second_image",  # the average or generated face alone
    "shared_concatenated",  # one network for both images, their features side by side
    "shared_averaged",  # one network for both images, the mean of their features
)
INPUT_NORMALISATIONS = ("imagenet", "none")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Classification(NamedTuple):
    """What the classifier returns.

    Attributes:
        feature: Pooled features `[N, F]`, of both images if the linear layer sees both.
        logits: `[N, num_expressions]`.
    """

    feature: jax.Array
    logits: jax.Array


class Classifier(nnx.Module):
    """ResNet on pairs of images, or on single ones for the baseline (spec IF-GAN 2 and 5)."""

    def __init__(
        self,
        *,
        image_channels: int = 3,
        depth: int = 101,
        width: int = 64,
        tuple_form: str = "concatenation",
        input_normalisation: str = "imagenet",
        num_expressions: int,
        rngs: nnx.Rngs,
    ):
        """Makes the classifier.

        Args:
            image_channels: 1 for gray images, 3 for colour.
            depth: Of the ResNet.
            width: Of the ResNet's stem.
            tuple_form: One of `TUPLE_FORMS`, or `"first_image"` for the baseline.
            input_normalisation: `"imagenet"`'s mean and deviation, or `"none"` for [-1, 1].
            num_expressions: Number of logits.
            rngs: Initialises the parameters.

        Raises:
            ValueError: If an option is unknown.
        """
        if tuple_form not in (*TUPLE_FORMS, "first_image"):
            raise ValueError(f"tuple_form is {tuple_form!r}; known: {', '.join(TUPLE_FORMS)}")
        if input_normalisation not in INPUT_NORMALISATIONS:
            known = ", ".join(INPUT_NORMALISATIONS)
            raise ValueError(f"input_normalisation is {input_normalisation!r}; known: {known}")
        self.tuple_form = tuple_form
        self.input_normalisation = input_normalisation
        self.resnet = ResNet(
            depth=depth,
            width=width,
            image_channels=image_channels * (2 if tuple_form == "concatenation" else 1),
            images_per_example=2 if tuple_form == "shared_concatenated" else 1,
            num_classes=num_expressions,
            rngs=rngs,
        )

    def __call__(
        self,
        first: jax.Array,
        second: jax.Array | None = None,
        statistics: BatchStatistics | None = None,
    ) -> Classification:
        """Classifies the pairs {first, second}, or single images in the baseline's form.

        Args:
            first: I_SE, `[N, S, S, channels]` in [-1, 1].
            second: A true or drawn average face; unused and None in the baseline's form.
            statistics: What training takes as a batch; None for evaluation.
        """
        first = self._normalised(first)
        if self.tuple_form == "first_image":
            feature = self.resnet.features(first, statistics)
            return Classification(feature, self.resnet.fc(feature))
        assert second is not None, "a pair has two images"
        second = self._normalised(second)
        if self.tuple_form == "concatenation":
            images = jnp.concatenate([first, second], axis=-1)
            feature = self.resnet.features(images, statistics)
        elif self.tuple_form == "second_image":
            feature = self.resnet.features(second, statistics)
        else:
            feature = self._shared_features(first, second, statistics)
        return Classification(feature, self.resnet.fc(feature))

    def _shared_features(
        self, first: jax.Array, second: jax.Array, statistics: BatchStatistics | None
    ) -> jax.Array:
        """Features of both images from one network, side by side or averaged.

        Both images of an example are one batch for the batch norms, as they are at test time for
        the running averages.
        """
        if statistics is not None:
            statistics = statistics._replace(
                weight=jnp.repeat(statistics.weight, 2), count=2 * statistics.count
            )
        pairs = jnp.stack([first, second], axis=1)  # [N, 2, S, S, channels]
        images = pairs.reshape(-1, *first.shape[1:])
        features = self.resnet.features(images, statistics).reshape(first.shape[0], 2, -1)
        if self.tuple_form == "shared_averaged":
            return features.mean(axis=1)
        return features.reshape(first.shape[0], -1)

    def _normalised(self, image: jax.Array) -> jax.Array:
        if self.input_normalisation == "none":
            return image
        mean, deviation = jnp.array(IMAGENET_MEAN), jnp.array(IMAGENET_DEVIATION)
        if image.shape[-1] == 1:  # gray: the mean over the colours
            mean, deviation = mean.mean(keepdims=True), deviation.mean(keepdims=True)
        mean, deviation = (vector.reshape(1, 1, 1, -1) for vector in (mean, deviation))
        return ((image + 1) / 2 - mean) / deviation


class IFGAN(NamedTuple):
    """The three networks; the baseline has the classifier alone.

    Attributes:
        generator: G.
        discriminator: D.
        classifier: E.
    """

    generator: Generator | None
    discriminator: Discriminator | None
    classifier: Classifier


class Definitions(NamedTuple):
    """The networks without parameters and statistics: hashable, merged with both to be called."""

    generator: nnx.GraphDef[Generator] | None
    discriminator: nnx.GraphDef[Discriminator] | None
    classifier: nnx.GraphDef[Classifier]


def make_ifgan(
    *,
    num_expressions: int,
    image_size_px: int = 224,
    image_channels: int = 3,
    has_generator: bool = True,
    generator_width: int = 64,
    generator_levels: int = 5,
    generator_dropout_rate: float = 0.0,
    encoder_attention_level: int = 2,
    skip_attention_level: int = 2,
    decoder_attention_level: int = 2,
    skip_source: str = "convolution",
    attention_reduction: int = 8,
    attention_has_output_convolution: bool = False,
    attention_chunk_size: int = 448,
    discriminator_width: int = 64,
    discriminator_strided_layers: int = 3,
    classifier_depth: int = 101,
    classifier_width: int = 64,
    tuple_form: str = "concatenation",
    input_normalisation: str = "imagenet",
    rngs: nnx.Rngs,
) -> IFGAN:
    """Makes the three networks; the defaults are the paper's sizes and the spec's choices.

    Args:
        num_expressions: Classes of the classifier.
        image_size_px: Height and width of the images, a multiple of 2^generator_levels.
        image_channels: 1 for gray images, 3 for colour.
        has_generator: False makes the baseline, the classifier alone on single images.
        generator_width: See `Generator`, as for the other arguments of its name.
        generator_levels: See `Generator`.
        generator_dropout_rate: See `Generator`.
        encoder_attention_level: See `Generator`.
        skip_attention_level: See `Generator`.
        decoder_attention_level: See `Generator`.
        skip_source: See `Generator`.
        attention_reduction: See `Generator`.
        attention_has_output_convolution: See `Generator`.
        attention_chunk_size: See `Generator`.
        discriminator_width: See `Discriminator`.
        discriminator_strided_layers: See `Discriminator`.
        classifier_depth: See `Classifier`.
        classifier_width: See `Classifier`.
        tuple_form: See `Classifier`.
        input_normalisation: See `Classifier`.
        rngs: Initialises all parameters.

    Raises:
        ValueError: If a size is impossible or an option unknown.
    """
    if image_size_px <= 0 or image_size_px % 2**generator_levels:
        raise ValueError(
            f"image_size_px must be a multiple of {2**generator_levels} for a generator of "
            f"{generator_levels} levels, got {image_size_px}"
        )
    sizes = {
        "generator_width": generator_width,
        "attention_reduction": attention_reduction,
        "attention_chunk_size": attention_chunk_size,
        "discriminator_width": discriminator_width,
        "discriminator_strided_layers": discriminator_strided_layers,
        "classifier_width": classifier_width,
    }
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    generator = discriminator = None
    if has_generator:
        generator = Generator(
            image_channels=image_channels,
            width=generator_width,
            num_levels=generator_levels,
            encoder_attention_level=encoder_attention_level,
            skip_attention_level=skip_attention_level,
            decoder_attention_level=decoder_attention_level,
            skip_source=skip_source,
            attention_reduction=attention_reduction,
            attention_has_output_convolution=attention_has_output_convolution,
            attention_chunk_size=attention_chunk_size,
            dropout_rate=generator_dropout_rate,
            rngs=rngs,
        )
        discriminator = Discriminator(
            image_channels=image_channels,
            width=discriminator_width,
            num_strided_layers=discriminator_strided_layers,
            rngs=rngs,
        )
    classifier = Classifier(
        image_channels=image_channels,
        depth=classifier_depth,
        width=classifier_width,
        tuple_form=tuple_form if has_generator else "first_image",
        input_normalisation=input_normalisation,
        num_expressions=num_expressions,
        rngs=rngs,
    )
    return IFGAN(generator, discriminator, classifier)


def split_networks(networks: IFGAN) -> tuple[Definitions, dict[str, Any]]:
    """Separates the networks into definitions and trees by network name."""
    return split(networks, Definitions)

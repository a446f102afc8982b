"""The plain classifier: an encoder and a head.

The encoder is TDGAN's expression encoder (the papers' "CNN-base", spec TDGAN 2.2 and 2.4), a
residual network or a densely connected one. Images are `[N, S, S, channels]`, in [0, 1] or
normalised as the caller wants.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from flax import nnx

from tdgan_jax.networks.batch_norm import BatchStatistics
from tdgan_jax.networks.densenet import (
    DEPTHS,
    DenseNet,
    average_features,
    check_image_size,
    densenet_channels,
)
from tdgan_jax.networks.inception import Encoder, Head, make_encoder, make_head
from tdgan_jax.networks.layers import per_example_dropout, uniform_fan_in
from tdgan_jax.networks.resnet import ResNet
from tdgan_jax.steps.state import split

ENCODERS = ("inception", "resnet", "densenet")


class LinearHead(nnx.Module):
    """One linear layer on a pooled feature, dropout before it."""

    def __init__(self, num_features: int, num_classes: int, *, dropout_rate: float, rngs: nnx.Rngs):
        """Makes the layer with PyTorch's initialisation."""
        init = uniform_fan_in(num_features)
        self.dropout_rate = dropout_rate
        self.fc = nnx.Linear(num_features, num_classes, kernel_init=init, bias_init=init, rngs=rngs)

    def __call__(self, feature: jax.Array, *, dropout_keys: jax.Array | None = None) -> jax.Array:
        """Maps features `[N, F]` to logits `[N, classes]`; keys `[N]` switch dropout on."""
        return self.fc(per_example_dropout(feature, dropout_keys, rate=self.dropout_rate))


class Classifier(NamedTuple):
    """The two networks, by the names that they have in TDGAN."""

    expression_encoder: Encoder | ResNet | DenseNet
    expression_head: Head | LinearHead


class Definitions(NamedTuple):
    """The networks without their parameters: hashable, merged with parameters to be called."""

    expression_encoder: nnx.GraphDef[Any]
    expression_head: nnx.GraphDef[Any]


def encode(
    encoder: Encoder | ResNet | DenseNet,
    images: jax.Array,
    statistics: BatchStatistics | None = None,
) -> jax.Array:
    """Features of images: `[N, S/16, S/16, C]` of TDGAN's encoder, `[N, F]` of another one.

    Args:
        encoder: The network.
        images: `[N, S, S, channels]`.
        statistics: What batch norms take as a batch in training; None for evaluation.
    """
    if isinstance(encoder, ResNet):
        return encoder(images, statistics)
    if isinstance(encoder, DenseNet):
        return average_features(encoder(images, statistics))
    return encoder(images)


def make_classifier(
    *,
    num_expressions: int,
    encoder: str = "inception",
    image_size_px: int = 128,
    image_channels: int = 1,
    dropout_rate: float = 0.5,
    width_multiplier: float = 1.0,
    num_inception_blocks: int = 4,
    resnet_depth: int = 18,
    resnet_width: int = 64,
    resnet_stem: str = "7x7",
    squeeze_reduction: int = 0,
    densenet_block_layers: Sequence[int] = DEPTHS[121],
    densenet_growth_rate: int = 32,
    densenet_initial_channels: int = 64,
    rngs: nnx.Rngs,
) -> Classifier:
    """Makes both networks.

    Args:
        num_expressions: C.
        encoder: One of `ENCODERS`.
        image_size_px: Height and width of the images; of "inception" a multiple of 16.
        image_channels: 1 for gray images, 3 for colour.
        dropout_rate: Dropout of the head.
        width_multiplier: Of "inception": scales every width, head included.
        num_inception_blocks: Of "inception".
        resnet_depth: Of "resnet": 10, 18, 34, 50 or 101.
        resnet_width: Of "resnet": channels of its first stage.
        resnet_stem: Of "resnet": "7x7" or "3x3", see `ResNet`.
        squeeze_reduction: Of "resnet": see `ResidualBlock`.
        densenet_block_layers: Of "densenet": see `DenseNet`, as for the next two.
        densenet_growth_rate: See `DenseNet`.
        densenet_initial_channels: See `DenseNet`.
        rngs: Initialises all parameters.

    Raises:
        ValueError: If the encoder is unknown or a size impossible.
    """
    if encoder == "densenet":
        return _with_densenet(
            num_expressions,
            image_size_px,
            dropout_rate,
            rngs,
            block_layers=densenet_block_layers,
            growth_rate=densenet_growth_rate,
            initial_channels=densenet_initial_channels,
            image_channels=image_channels,
        )
    if encoder == "resnet":
        network = ResNet(
            depth=resnet_depth,
            width=resnet_width,
            image_channels=image_channels,
            stem=resnet_stem,
            squeeze_reduction=squeeze_reduction,
            num_classes=None,
            rngs=rngs,
        )
        head = LinearHead(
            network.num_features, num_expressions, dropout_rate=dropout_rate, rngs=rngs
        )
        return Classifier(network, head)
    if encoder != "inception":
        raise ValueError(f"encoder is {encoder!r}; known: {', '.join(ENCODERS)}")
    return Classifier(
        make_encoder(
            image_channels=image_channels,
            width_multiplier=width_multiplier,
            num_blocks=num_inception_blocks,
            rngs=rngs,
        ),
        make_head(
            image_size_px=image_size_px,
            width_multiplier=width_multiplier,
            num_classes=num_expressions,
            dropout_rate=dropout_rate,
            rngs=rngs,
        ),
    )


def _with_densenet(
    num_expressions: int, image_size_px: int, dropout_rate: float, rngs: nnx.Rngs, **sizes: Any
) -> Classifier:
    network = DenseNet(rngs=rngs, **sizes)
    check_image_size(image_size_px, len(sizes["block_layers"]))
    del sizes["image_channels"]
    num_features = densenet_channels(**sizes)[-1]
    head = LinearHead(num_features, num_expressions, dropout_rate=dropout_rate, rngs=rngs)
    return Classifier(network, head)


def split_networks(networks: Classifier) -> tuple[Definitions, dict[str, Any]]:
    """Separates the networks into definitions and trees by network name."""
    return split(networks, Definitions)

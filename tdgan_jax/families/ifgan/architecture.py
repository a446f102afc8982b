"""What the state dicts of an IF-GAN tell about its networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.networks.resnet import BOTTLENECK_EXPANSION, DEPTHS
from tdgan_jax.torch_weights.mapping import StateDict

# What the weights do not tell, with the value that is assumed.
USUAL: Mapping[str, Any] = {
    "image_size_px": 224,
    "generator_dropout_rate": 0.0,
    "skip_source": "convolution",
    "attention_chunk_size": 448,
    "input_normalisation": "imagenet",
}
# What the baseline, which has a classifier alone, does not need.
OF_THE_GENERATOR: Mapping[str, Any] = {
    "generator_width": 64,
    "generator_levels": 5,
    "encoder_attention_level": 2,
    "skip_attention_level": 2,
    "decoder_attention_level": 2,
    "attention_reduction": 8,
    "attention_has_output_convolution": False,
    "discriminator_width": 64,
    "discriminator_strided_layers": 3,
    "tuple_form": "concatenation",
}
PAIR = ("generator", "discriminator")
IMAGE_CHANNELS = (1, 3)
ATTENTIONS = ("encoder_attention", "skip_attention", "decoder_attention")


def ifgan_architecture(
    state_dicts: Mapping[str, StateDict],
) -> tuple[dict[str, Any], int, tuple[str, ...]]:
    """Reads sizes from the shapes of weights.

    Args:
        state_dicts: Network name to state dict; the baseline's holds the classifier alone.

    Returns:
        Fields of `config.model`, the number of classes, and which fields were assumed.

    Raises:
        UserError: If the weights are not those of an IF-GAN; names the first tensor that is
            missing or impossible.
    """
    classifier = state_dicts["classifier"]
    sizes: dict[str, Any] = dict(USUAL)
    untold = list(USUAL)
    stem = _tensor("classifier", classifier, "conv1.weight", 4)
    fc = _tensor("classifier", classifier, "fc.weight", 2)
    sizes |= {"classifier_depth": _depth(classifier), "classifier_width": stem.shape[0]}
    sizes["has_generator"] = "generator" in state_dicts
    if sizes["has_generator"] != ("discriminator" in state_dicts):
        there, absent = sorted(PAIR, key=lambda name: name not in state_dicts)
        raise UserError(
            f"there are weights of a {there} and none of a {absent}; an IF-GAN has both, its "
            "baseline neither"
        )
    features = _features(sizes["classifier_depth"], stem.shape[0])
    if not sizes["has_generator"]:
        if stem.shape[1] not in IMAGE_CHANNELS or fc.shape[1] != features:
            raise UserError(
                f"the classifier takes {stem.shape[1]} channels and {fc.shape[1]} features: it "
                "looks at pairs of images, so the weights of its generator and discriminator are "
                "needed"
            )
        sizes |= {**OF_THE_GENERATOR, "image_channels": stem.shape[1]}
        return sizes, fc.shape[0], (*untold, *OF_THE_GENERATOR)
    found, ambiguous = _generator_sizes(state_dicts["generator"])
    sizes |= found
    discriminator = state_dicts["discriminator"]
    first = _tensor("discriminator", discriminator, "layers.0.conv.weight", 4)
    sizes["discriminator_width"] = first.shape[0]
    sizes["discriminator_strided_layers"] = _count(discriminator, "layers.{}.conv.weight") - 1
    sizes["tuple_form"] = _tuple_form(sizes["image_channels"], stem, fc, features)
    if sizes["tuple_form"] == "second_image":
        untold.append("tuple_form")
    return sizes, fc.shape[0], (*untold, *ambiguous)


def _tuple_form(channels: int, stem: np.ndarray, fc: np.ndarray, features: int) -> str:
    """How the classifier takes an image and its generated face."""
    if (stem.shape[1], fc.shape[1]) == (2 * channels, features):
        return "concatenation"
    if (stem.shape[1], fc.shape[1]) == (channels, 2 * features):
        return "shared_concatenated"
    if (stem.shape[1], fc.shape[1]) == (channels, features):
        return "second_image"
    raise UserError(
        f"the classifier, which takes {stem.shape[1]} channels and {fc.shape[1]} features, does "
        f"not fit a generator of {channels} channels"
    )


def _generator_sizes(generator: StateDict) -> tuple[dict[str, Any], list[str]]:
    """Width, levels and attention modules, and which fields are not certain.

    An attention module's level is told by its channels, which more than one level may have.
    """
    levels = _count(generator, "down.{}.conv.weight")
    first = _tensor("generator", generator, "down.0.conv.weight", 4)
    if first.shape[1] not in IMAGE_CHANNELS:
        raise UserError(
            f"the generator takes images of {first.shape[1]} channels; 1 or 3 are known"
        )
    widths = [
        _tensor("generator", generator, f"down.{i}.conv.weight", 4).shape[0] for i in range(levels)
    ]
    found: dict[str, Any] = {
        "image_channels": first.shape[1],
        "generator_width": first.shape[0],
        "generator_levels": levels,
        "attention_reduction": 8,
        "attention_has_output_convolution": False,
    }
    ambiguous = []
    for name in ATTENTIONS:
        field = f"{name}_level"
        if f"{name}.value.weight" not in generator:
            found[field] = 0
            continue
        value = _tensor("generator", generator, f"{name}.value.weight", 4)
        fitting = [level for level in range(1, levels) if widths[level - 1] == value.shape[0]]
        if not fitting:
            raise UserError(f"the generator's {name} has the channels of none of its levels")
        found[field] = fitting[0]
        if len(fitting) > 1:
            ambiguous.append(field)
        query = _tensor("generator", generator, f"{name}.query.weight", 4)
        found["attention_reduction"] = max(1, value.shape[0] // query.shape[0])
        found["attention_has_output_convolution"] = f"{name}.output.weight" in generator
    if not any(found[f"{name}_level"] for name in ATTENTIONS):
        ambiguous += ["attention_reduction", "attention_has_output_convolution"]
    return found, ambiguous


def _depth(classifier: StateDict) -> int:
    blocks = tuple(
        _count(classifier, f"layer{stage}." + "{}.conv1.weight") for stage in (1, 2, 3, 4)
    )
    for depth, kind in DEPTHS.items():
        if kind == (blocks, _is_bottleneck(classifier)):
            return depth
    raise UserError(
        f"the classifier has {blocks} blocks in its stages; known are the ResNets of "
        f"{', '.join(map(str, DEPTHS))} layers"
    )


def _features(depth: int, width: int) -> int:
    """Pooled features of one image: a stage has twice the channels of the one before."""
    blocks, is_bottleneck = DEPTHS[depth]
    num_stages = sum(count > 0 for count in blocks)
    return width * 2 ** (num_stages - 1) * (BOTTLENECK_EXPANSION if is_bottleneck else 1)


def _is_bottleneck(classifier: StateDict) -> bool:
    return "layer1.0.conv3.weight" in classifier


def _count(state_dict: StateDict, key: str) -> int:
    """How many keys there are of a pattern with running number."""
    number = 0
    while key.format(number) in state_dict:
        number += 1
    return number


def _tensor(network: str, state_dict: StateDict, key: str, rank: int) -> np.ndarray:
    value = state_dict.get(key)
    if value is None or value.ndim != rank or not value.size:
        found = f"no {key}" if value is None else f"{key} of the shape {value.shape}"
        raise UserError(f"these are not the weights of an IF-GAN: {network} has {found}")
    return value

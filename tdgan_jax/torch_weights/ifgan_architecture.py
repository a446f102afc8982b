"""What the state dicts of an IF-GAN tell about its networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.models.resnet import BOTTLENECK_EXPANSION, DEPTHS
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
            missing.
    """
    classifier = state_dicts["classifier"]
    sizes: dict[str, Any] = dict(USUAL)
    untold = list(USUAL)
    stem = _tensor("classifier", classifier, "conv1.weight", 4)
    fc = _tensor("classifier", classifier, "fc.weight", 2)
    sizes |= {"classifier_depth": _depth(classifier), "classifier_width": stem.shape[0]}
    sizes["has_generator"] = "generator" in state_dicts
    if not sizes["has_generator"]:
        sizes |= {**OF_THE_GENERATOR, "image_channels": stem.shape[1]}
        return sizes, fc.shape[0], (*untold, *OF_THE_GENERATOR)
    generator, discriminator = state_dicts["generator"], state_dicts["discriminator"]
    first = _tensor("generator", generator, "down.0.conv.weight", 4)
    sizes["image_channels"] = first.shape[1]
    sizes["generator_width"] = first.shape[0]
    sizes["generator_levels"] = _count(generator, "down.{}.conv.weight")
    found, ambiguous = _attentions(generator)
    sizes |= found
    first = _tensor("discriminator", discriminator, "layers.0.conv.weight", 4)
    sizes["discriminator_width"] = first.shape[0]
    sizes["discriminator_strided_layers"] = _count(discriminator, "layers.{}.conv.weight") - 1
    features = stem.shape[0] * 8
    if _is_bottleneck(classifier):
        features *= BOTTLENECK_EXPANSION
    if stem.shape[1] == 2 * sizes["image_channels"]:
        sizes["tuple_form"] = "concatenation"
    elif fc.shape[1] == 2 * features:
        sizes["tuple_form"] = "shared_concatenated"
    else:
        sizes["tuple_form"] = "second_image"
        untold.append("tuple_form")
    return sizes, fc.shape[0], (*untold, *ambiguous)


def _attentions(generator: StateDict) -> tuple[dict[str, Any], list[str]]:
    """Levels of the attention modules by their channels, and which fields more than one fits."""
    levels = _count(generator, "down.{}.conv.weight")
    widths = [generator[f"down.{i}.conv.weight"].shape[0] for i in range(levels)]
    found: dict[str, Any] = {"attention_reduction": 8, "attention_has_output_convolution": False}
    ambiguous = []
    for name in ATTENTIONS:
        value, field = generator.get(f"{name}.value.weight"), f"{name}_level"
        if value is None:
            found[field] = 0
            continue
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
    if value is None or value.ndim != rank:
        raise UserError(f"these are not the weights of an IF-GAN: {network} has no {key}")
    return value

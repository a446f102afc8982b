"""Mapping tables of IF-GAN's networks with the keys of the torch twin."""

from collections.abc import Mapping

import numpy as np

from tdgan_jax.torch_weights.mapping import (
    CONVOLUTION,
    SAME,
    TRANSPOSED_CONVOLUTION,
    Entry,
    Parameters,
    Path,
    StateDict,
    parameters_from_torch,
    torch_from_parameters,
    with_prefix,
)
from tdgan_jax.torch_weights.resnet import batch_norm_table, resnet_table, with_counters

# File of an export that holds each network, without its suffix.
FILE_STEMS = {
    "generator": "generator",
    "discriminator": "discriminator",
    "classifier": "classifier",
}
# Where each network stands in one file for all.
MODULE_PREFIXES = {name: f"{name}." for name in FILE_STEMS}


def _down_table(key: str, path: Path, parameters: Parameters) -> list[Entry]:
    entries = [Entry(f"{key}.conv.weight", (*path, "conv", "kernel"), CONVOLUTION)]
    if "bias" in parameters["conv"]:
        entries.append(Entry(f"{key}.conv.bias", (*path, "conv", "bias"), SAME))
    if "norm" in parameters:
        entries += batch_norm_table(f"{key}.bn", (*path, "norm"))
    return entries


def _up_table(key: str, path: Path, parameters: Parameters) -> list[Entry]:
    entries = [Entry(f"{key}.conv.weight", (*path, "kernel"), TRANSPOSED_CONVOLUTION)]
    if "bias" in parameters:
        entries.append(Entry(f"{key}.conv.bias", (*path, "bias"), SAME))
    if "norm" in parameters:
        entries += batch_norm_table(f"{key}.bn", (*path, "norm"))
    return entries


def attention_table(parameters: Parameters) -> list[Entry]:
    """Table of a self-attention module; its tree says which layers there are."""
    entries = [Entry("gamma", ("gamma",), SAME)]
    for layer in ("query", "key", "value", "output"):
        if layer in parameters:
            entries.append(Entry(f"{layer}.weight", (layer, "kernel"), CONVOLUTION))
            entries.append(Entry(f"{layer}.bias", (layer, "bias"), SAME))
    return entries


def generator_table(parameters: Parameters) -> list[Entry]:
    """Table of a generator; its tree says how many levels and which attentions there are."""
    entries = []
    for i, down in parameters["downsamplings"].items():
        entries += _down_table(f"down.{i}", ("downsamplings", i), down)
    for i, up in parameters["upsamplings"].items():
        entries += _up_table(f"up.{i}", ("upsamplings", i), up)
    for name in ("encoder_attention", "skip_attention", "decoder_attention"):
        if name in parameters:
            table = attention_table(parameters[name])
            entries += with_prefix(table, key=f"{name}.", path=(name,))
    return entries


def discriminator_table(parameters: Parameters) -> list[Entry]:
    """Table of a discriminator; its tree says how many layers there are."""
    entries = []
    for i, layer in parameters["layers"].items():
        entries += _down_table(f"layers.{i}", ("layers", i), layer)
    return entries + _down_table("to_logits", ("to_logits",), parameters["to_logits"])


def classifier_table(parameters: Parameters) -> list[Entry]:
    """Table of a classifier: torchvision's keys."""
    return with_prefix(resnet_table(parameters["resnet"]), key="", path=("resnet",))


TABLES = {
    "generator": generator_table,
    "discriminator": discriminator_table,
    "classifier": classifier_table,
}


def ifgan_from_torch(
    state_dicts: Mapping[str, StateDict], template: Mapping[str, Parameters]
) -> dict[str, Parameters]:
    """Weights and running averages of the networks from their state dicts.

    Args:
        state_dicts: Network name (`IFGAN`'s fields) to state dict.
        template: Network name to tree with the wanted shapes; the baseline has one network.

    Returns:
        Network name to tree.

    Raises:
        UserError: As `parameters_from_torch`.
    """
    return {
        name: parameters_from_torch(
            TABLES[name](tree), state_dicts[name], tree, source=FILE_STEMS[name]
        )
        for name, tree in template.items()
    }


def torch_from_ifgan(parameters: Mapping[str, Parameters]) -> dict[str, dict[str, np.ndarray]]:
    """State dicts of the networks, the inverse of `ifgan_from_torch`."""
    return {
        name: with_counters(torch_from_parameters(TABLES[name](tree), tree))
        for name, tree in parameters.items()
    }

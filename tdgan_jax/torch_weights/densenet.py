"""Mapping table of the DenseNets with torchvision's keys, and ImageNet weights.

Source: spec Emotion-GCN 2.5.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.torch_weights.mapping import (
    CONVOLUTION,
    Entry,
    Parameters,
    StateDict,
    parameters_from_torch,
    torch_from_parameters,
)
from tdgan_jax.torch_weights.resnet import (
    batch_norm_table,
    widened_first_convolution,
    with_counters,
)
from tdgan_jax.torch_weights.state_files import read_state_dict

FEATURES = "features."  # where torchvision keeps all but the classifier
# `denselayer1.norm.1.weight`, as files from before torchvision 0.3 have it.
OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
LAYER_KEY = r"denseblock(\d+)\.denselayer(\d+)\.conv1\.weight"


def densenet_table(parameters: Parameters) -> list[Entry]:
    """Table of a DenseNet, in the order of torchvision's state dict, without `FEATURES`.

    Args:
        parameters: Its tree of weights and running averages, or of their shapes.
    """
    entries = [Entry("conv0.weight", ("conv0", "kernel"), CONVOLUTION)]
    entries += batch_norm_table("norm0", ("norm0",))
    for block, layers in parameters["blocks"].items():
        if block:
            key, path = f"transition{block}", ("transitions", block - 1)
            entries += batch_norm_table(f"{key}.norm", (*path, "norm"))
            entries.append(Entry(f"{key}.conv.weight", (*path, "conv", "kernel"), CONVOLUTION))
        for layer in layers:
            key = f"denseblock{block + 1}.denselayer{layer + 1}"
            path = ("blocks", block, layer)
            for i in (1, 2):
                entries += batch_norm_table(f"{key}.norm{i}", (*path, f"norm{i}"))
                kernel = (*path, f"conv{i}", "kernel")
                entries.append(Entry(f"{key}.conv{i}.weight", kernel, CONVOLUTION))
    return entries + batch_norm_table("norm5", ("norm5",))


def with_new_keys(state_dict: StateDict) -> dict[str, np.ndarray]:
    """A state dict whose dense layers are called as today's torchvision calls them."""
    return {OLD_KEY.sub(r"\1\2.", key): value for key, value in state_dict.items()}


def densenet_from_torch(
    state_dict: StateDict, template: Parameters, *, source: str = "the weights"
) -> Parameters:
    """Weights and running averages from the features of a torchvision DenseNet.

    Args:
        state_dict: Key without `FEATURES` to array.
        template: Tree with the wanted shapes.
        source: What to call the state dict in messages.

    Raises:
        UserError: As `parameters_from_torch`.
    """
    return parameters_from_torch(densenet_table(template), state_dict, template, source=source)


def torch_from_densenet(parameters: Parameters) -> dict[str, np.ndarray]:
    """State dict of the features, the inverse of `densenet_from_torch`."""
    return with_counters(torch_from_parameters(densenet_table(parameters), parameters))


def read_imagenet_densenet(path: Path, template: Parameters) -> Parameters:
    """Weights of a torchvision DenseNet's features, old keys or new.

    Args:
        path: A `.pth` file of torchvision, or a safetensors file with the same keys.
        template: Tree of the network: arrays or shapes.

    Returns:
        A new tree; for gray images the first convolution is summed over the colours.

    Raises:
        UserError: If the file is unreadable or belongs to a network of other sizes.
    """
    return imagenet_densenet(read_state_dict(path), template, source=str(path))


def imagenet_densenet(state_dict: StateDict, template: Parameters, *, source: str) -> Parameters:
    """As `read_imagenet_densenet`, from a state dict."""
    features = {
        key.removeprefix(FEATURES): value
        for key, value in with_new_keys(state_dict).items()
        if key.startswith(FEATURES)
    }
    first = features.get("conv0.weight")
    if first is None or first.ndim != 4 or first.shape[1] != 3:
        raise UserError(
            f"{source} holds no {FEATURES}conv0.weight for 3 channels: no DenseNet of torchvision"
        )
    found, wanted = layer_counts(features, LAYER_KEY), tuple(map(len, template["blocks"].values()))
    if found != wanted:
        raise UserError(
            f"{source} holds a DenseNet with blocks of {found} layers, the configuration names "
            f"{wanted}; give the file of that depth or change model.block_layers"
        )
    num_channels = template["conv0"]["kernel"].shape[2]
    kernel = widened_first_convolution(np.asarray(first, np.float32), num_channels)
    return densenet_from_torch(features | {"conv0.weight": kernel}, template, source=source)


def densenet_sizes(weights: StateDict, *, source: str) -> dict[str, Any]:
    """The arguments of a `DenseNet` that shapes tell.

    Args:
        weights: State dict of its features, without `FEATURES`.
        source: What the weights should be of, for messages.

    Raises:
        UserError: If a deciding tensor is missing or impossible.
    """
    stem = deciding_tensor(weights, "conv0.weight", 4, source=source)
    first = "denseblock1.denselayer1"
    bottleneck, growth_rate = (
        deciding_tensor(weights, f"{first}.conv{i}.weight", 4, source=source).shape[0]
        for i in (1, 2)
    )
    if bottleneck % growth_rate:
        raise UserError(
            f"{first} has {bottleneck} channels inside and adds {growth_rate}: no DenseNet"
        )
    return {
        "image_channels": stem.shape[1],
        "block_layers": layer_counts(weights, LAYER_KEY),
        "growth_rate": growth_rate,
        "initial_channels": stem.shape[0],
        "bottleneck_factor": bottleneck // growth_rate,
    }


def layer_counts(weights: StateDict, pattern: str) -> tuple[int, ...]:
    """How many layers each group has, by a pattern of keys with the group's and layer's number."""
    members: dict[int, set[int]] = {}
    for key in weights:
        if found := re.fullmatch(pattern, key):
            group, layer = map(int, found.groups())
            members.setdefault(group, set()).add(layer)
    return tuple(len(members[group]) for group in sorted(members))


def deciding_tensor(weights: StateDict, key: str, rank: int, *, source: str) -> np.ndarray:
    """A tensor that tells an architecture.

    Args:
        weights: The state dict.
        key: Its key.
        rank: Its number of dimensions.
        source: What the weights should be of.

    Raises:
        UserError: If it is missing or of another rank.
    """
    value = weights.get(key)
    if value is None or value.ndim != rank or not value.size:
        found = f"no {key}" if value is None else f"{key} of the shape {value.shape}"
        raise UserError(f"these are not the weights of {source}: there is {found}")
    return value

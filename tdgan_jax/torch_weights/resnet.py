"""Mapping table of the ResNets with torchvision's keys, and ImageNet weights for tuples.

Source: spec IF-GAN 5.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.torch_weights.mapping import (
    CONVOLUTION,
    LINEAR,
    SAME,
    Entry,
    Parameters,
    StateDict,
    parameters_from_torch,
    torch_from_parameters,
)
from tdgan_jax.torch_weights.mapping import (
    Path as TreePath,
)
from tdgan_jax.torch_weights.state_files import read_state_dict

COUNTER = "num_batches_tracked"


def batch_norm_table(key: str, path: TreePath) -> list[Entry]:
    """Table of a batch norm, its running averages included."""
    return [
        Entry(f"{key}.weight", (*path, "scale"), SAME),
        Entry(f"{key}.bias", (*path, "bias"), SAME),
        Entry(f"{key}.running_mean", (*path, "mean"), SAME),
        Entry(f"{key}.running_var", (*path, "variance"), SAME),
    ]


def linear_table(key: str, path: TreePath) -> list[Entry]:
    """Table of a linear layer with a bias."""
    return [
        Entry(f"{key}.weight", (*path, "kernel"), LINEAR),
        Entry(f"{key}.bias", (*path, "bias"), SAME),
    ]


def resnet_table(parameters: Parameters) -> list[Entry]:
    """Table of a ResNet.

    Args:
        parameters: Its tree of weights and running averages, or of their shapes.
    """
    entries = [Entry("conv1.weight", ("conv1", "kernel"), CONVOLUTION)]
    entries += batch_norm_table("bn1", ("norm1",))
    for stage, blocks in parameters["stages"].items():
        for index, block in blocks.items():
            key, path = f"layer{stage + 1}.{index}", ("stages", stage, index)
            for i in block["convs"]:
                kernel = (*path, "convs", i, "kernel")
                entries.append(Entry(f"{key}.conv{i + 1}.weight", kernel, CONVOLUTION))
                entries += batch_norm_table(f"{key}.bn{i + 1}", (*path, "norms", i))
            if "squeeze" in block:
                for layer in ("fc1", "fc2"):
                    entries += linear_table(f"{key}.squeeze.{layer}", (*path, "squeeze", layer))
            if "downsample" in block:
                kernel = (*path, "downsample", "conv", "kernel")
                entries.append(Entry(f"{key}.downsample.0.weight", kernel, CONVOLUTION))
                entries += batch_norm_table(f"{key}.downsample.1", (*path, "downsample", "norm"))
    return entries + (linear_table("fc", ("fc",)) if "fc" in parameters else [])


def resnet_from_torch(
    state_dict: StateDict, template: Parameters, *, source: str = "the weights"
) -> Parameters:
    """Weights and running averages from a state dict with torchvision's keys.

    Args:
        state_dict: Key to array.
        template: Tree with the wanted shapes.
        source: What to call the state dict in messages.

    Raises:
        UserError: As `parameters_from_torch`.
    """
    return parameters_from_torch(resnet_table(template), state_dict, template, source=source)


def torch_from_resnet(parameters: Parameters) -> dict[str, np.ndarray]:
    """State dict with torchvision's keys, the inverse of `resnet_from_torch`."""
    return with_counters(torch_from_parameters(resnet_table(parameters), parameters))


def with_counters(state_dict: StateDict) -> dict[str, np.ndarray]:
    """A state dict with the batch norms' counters, as PyTorch writes them.

    PyTorch's batch norms with a momentum never read them: 0 serves.
    """
    complete = {}
    for key, value in state_dict.items():
        complete[key] = value
        if key.endswith(".running_var"):
            complete[key.replace("running_var", COUNTER)] = np.zeros((), np.int64)
    return complete


def read_imagenet_weights(path: Path, template: Parameters) -> Parameters:
    """Weights of a torchvision ResNet for a network with other inputs and classes.

    Args:
        path: A `.pth` file of torchvision, or a safetensors file with the same keys.
        template: Tree of the network: arrays, of which the last layer is kept.

    Returns:
        A new tree; the first convolution is made as `widened_first_convolution` says.

    Raises:
        UserError: If the file is unreadable or belongs to a network of another depth or width.
    """
    return imagenet_weights(read_state_dict(path), template, source=str(path))


def imagenet_weights(state_dict: StateDict, template: Parameters, *, source: str) -> Parameters:
    """As `read_imagenet_weights`, from a state dict."""
    own = torch_from_resnet(template)
    _check_depth(state_dict, own, source)
    first = np.asarray(state_dict["conv1.weight"], np.float32)
    num_channels = own["conv1.weight"].shape[1]
    changed: dict[str, Any] = dict(state_dict)
    changed["conv1.weight"] = widened_first_convolution(first, num_channels)
    # The classes are other ones.
    changed |= {key: own[key] for key in ("fc.weight", "fc.bias")}
    return resnet_from_torch(changed, template, source=source)


def _check_depth(state_dict: StateDict, own: StateDict, source: str) -> None:
    """Names the number of convolutions where these differ, rather than a list of keys.

    Raises:
        UserError: If they differ, or if there is no ResNet's first convolution.
    """
    first = state_dict.get("conv1.weight")
    if first is None or first.ndim != 4 or first.shape[1] != 3:
        raise UserError(f"{source} holds no conv1.weight for 3 channels: no ResNet of torchvision")
    found, wanted = (_num_convolutions(keys) for keys in (state_dict, own))
    if found != wanted:
        raise UserError(
            f"{source} holds a ResNet of {found + 1} layers, the configuration names one of "
            f"{wanted + 1}; give the file of that depth or change model.classifier_depth"
        )


def _num_convolutions(keys: StateDict | Sequence[str]) -> int:
    return sum(".conv" in key or key == "conv1.weight" for key in keys)


def widened_first_convolution(kernel: np.ndarray, num_channels: int) -> np.ndarray:
    """A first convolution for gray images or for two images one on the other.

    The kernel of two images is that of one twice, halved: for two equal images it computes what the
    original does. Gray images stand for three equal colours: the kernel is summed over these.

    Args:
        kernel: `[out, 3, height, width]`.
        num_channels: 3 or 6 for colour, 1 or 2 for gray images.

    Returns:
        `[out, num_channels, height, width]`.
    """
    if num_channels in (1, 2):
        kernel = kernel.sum(axis=1, keepdims=True)
    num_images = num_channels // kernel.shape[1]
    return np.tile(kernel, (1, num_images, 1, 1)) / num_images

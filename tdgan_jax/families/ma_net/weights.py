"""Mapping table of MA-Net with the keys of its program (spec ESR and MA-Net, C.2)."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tdgan_jax.torch_weights.cbam import cbam_table
from tdgan_jax.torch_weights.fitting import Fitted, fitting_parts
from tdgan_jax.torch_weights.mapping import (
    CONVOLUTION,
    Entry,
    Parameters,
    StateDict,
    parameters_from_torch,
    torch_from_parameters,
)
from tdgan_jax.torch_weights.mapping import Path as TreePath
from tdgan_jax.torch_weights.resnet import batch_norm_table, linear_table, with_counters
from tdgan_jax.torch_weights.state_files import read_state_dict

# File of an export, without its suffix; the one network's keys begin with nothing.
FILE_STEMS = {"network": "network"}
MODULE_PREFIXES = {"network": ""}
_HEADS = ("fc_1.", "fc_2.")


def _convolution(key: str, norm_key: str, path: TreePath, norm_path: TreePath) -> list[Entry]:
    kernel = Entry(f"{key}.weight", (*path, "kernel"), CONVOLUTION)
    return [kernel, *batch_norm_table(norm_key, norm_path)]


def _downsample(key: str, path: TreePath, parameters: Parameters) -> list[Entry]:
    if "downsample" not in parameters:
        return []
    path = (*path, "downsample")
    return _convolution(
        f"{key}.downsample.0", f"{key}.downsample.1", (*path, "conv"), (*path, "norm")
    )


def basic_block_table(key: str, path: TreePath, parameters: Parameters) -> list[Entry]:
    """Table of a basic block of a ResNet."""
    entries = []
    for i in parameters["convs"]:
        paths = (*path, "convs", i), (*path, "norms", i)
        entries += _convolution(f"{key}.conv{i + 1}", f"{key}.bn{i + 1}", *paths)
    return entries + _downsample(key, path, parameters)


def attention_block_table(key: str, path: TreePath, parameters: Parameters) -> list[Entry]:
    """Table of an attention block."""
    entries = []
    for i in (1, 2):
        paths = (*path, f"conv{i}"), (*path, f"norm{i}")
        entries += _convolution(f"{key}.conv{i}", f"{key}.bn{i}", *paths)
    entries += _downsample(key, path, parameters)
    return entries + cbam_table(f"{key}.cbam", (*path, "attention"))


def multi_scale_block_table(key: str, path: TreePath, parameters: Parameters) -> list[Entry]:
    """Table of a multi-scale block."""
    entries = _convolution(f"{key}.conv1", f"{key}.bn1", (*path, "conv1"), (*path, "norm1"))
    for body, layers in parameters["sub_bodies"].items():
        for i in layers["convs"]:
            number, node = f"{body + 1}_2_{i + 1}", (*path, "sub_bodies", body)
            paths = (*node, "convs", i), (*node, "norms", i)
            entries += _convolution(f"{key}.conv{number}", f"{key}.bn{number}", *paths)
    return entries + _downsample(key, path, parameters)


def _stage(key: str, path: TreePath, blocks: Parameters, table: Callable) -> list[Entry]:
    entries = []
    for index, block in blocks.items():
        entries += table(f"{key}.{index}", (*path, index), block)
    return entries


def ma_net_table(parameters: Parameters) -> list[Entry]:
    """Table of the network.

    Args:
        parameters: Its tree of weights and running averages, or of their shapes.
    """
    entries = _convolution("conv1", "bn1", ("conv1",), ("norm1",))
    for stage in ("layer1", "layer2"):
        entries += _stage(stage, (stage,), parameters[stage], basic_block_table)
    for patch, branch in parameters["local_branches"].items():
        for stage in ("layer3", "layer4"):
            path = ("local_branches", patch, stage)
            key = f"{stage}_1_p{patch + 1}"
            entries += _stage(key, path, branch[stage], attention_block_table)
    for stage in ("layer3", "layer4"):
        path, blocks = ("global_branch", stage), parameters["global_branch"][stage]
        entries += _stage(f"{stage}_2", path, blocks, multi_scale_block_table)
    for key, name in (("fc_1", "local_fc"), ("fc_2", "global_fc")):
        entries += linear_table(key, (name,))
    return entries


def ma_net_from_torch(
    state_dicts: Mapping[str, StateDict], template: Mapping[str, Parameters]
) -> dict[str, Parameters]:
    """Weights and running averages from a state dict.

    Args:
        state_dicts: The state dict, by the name `network`.
        template: The tree with the wanted shapes, by the same name.

    Returns:
        The tree, by the same name.

    Raises:
        UserError: As `parameters_from_torch`.
    """
    return {
        name: parameters_from_torch(
            ma_net_table(tree), state_dicts[name], tree, source=FILE_STEMS[name]
        )
        for name, tree in template.items()
    }


def torch_from_ma_net(parameters: Mapping[str, Parameters]) -> dict[str, dict[str, np.ndarray]]:
    """The state dict, the inverse of `ma_net_from_torch`."""
    return {
        name: with_counters(torch_from_parameters(ma_net_table(tree), tree))
        for name, tree in parameters.items()
    }


def without_heads(state_dict: StateDict, own: Parameters, *, source: str) -> Fitted:
    """A network with all of another one's weights but the heads, whose classes are others.

    Weights learned on MS-Celeb-1M have 12,666 classes (spec C.2).

    Args:
        state_dict: Key to array.
        own: Tree of arrays, whose heads stay.
        source: What to call the state dict in messages.

    Raises:
        UserError: As `parameters_from_torch`.
    """
    kept = {
        key: value for key, value in state_dict.items() if not key.startswith(("fc_1.", "fc_2."))
    }
    fitted = fitting_parts(ma_net_table(own), kept, own, may_differ=_HEADS, source=source)
    return fitted._replace(unused=tuple(key for key in state_dict if key not in kept))


def read_start_weights(
    path: Path, own: Parameters, *, say: Callable[[str], None] = lambda note: None
) -> Parameters:
    """A network's tree with all weights of a file but the heads.

    Args:
        path: `Pretrained_on_MSCeleb.pth.tar`, or another checkpoint of MA-Net.
        own: As in `without_heads`.
        say: Told what had to be changed about the file's content.

    Raises:
        UserError: If the file is unreadable or belongs to another network.
    """
    return without_heads(read_state_dict(path, say=say), own, source=str(path)).parameters

"""Mapping tables of ESR with the keys of its program, which stores one file a network.

Source: spec ESR and MA-Net, A.3.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.families.esr.networks import MOST_BRANCHES, network_names
from tdgan_jax.torch_weights.cbam import cbam_table
from tdgan_jax.torch_weights.fitting import fitting_parts
from tdgan_jax.torch_weights.mapping import (
    CONVOLUTION,
    SAME,
    Entry,
    Parameters,
    StateDict,
    parameters_from_torch,
    torch_from_parameters,
)
from tdgan_jax.torch_weights.resnet import batch_norm_table, linear_table, with_counters
from tdgan_jax.torch_weights.state_files import read_networks

# File that holds each network, without its suffix.
FILE_STEMS = {
    name: name.replace("branch", "Net-Branch").replace("base", "Net-Base-Shared_Representations")
    for name in network_names(MOST_BRANCHES)
}
FILE_SUFFIX = ".pt"
# Where each network stands in one file for all.
MODULE_PREFIXES = {name: f"{name}." for name in FILE_STEMS}
# An ensemble may lack them; that there is no gap between those there are is seen when it is read.
OPTIONAL = tuple(name for name in FILE_STEMS if name not in ("base", "branch_1"))
# Field of a model to what its networks have or lack, and how the keys of that begin.
_PARTS = {
    "has_attention": ("attention", "cbam"),
    "has_affect": ("a head for valence and arousal", "fc_dimensional."),
}
_HEAD = "fc."


def blocks_table(parameters: Parameters) -> list[Entry]:
    """Table of the blocks of base or branch; its tree says how many and with what there are."""
    blocks = parameters["blocks"]
    entries = []
    for i in blocks:
        path = ("blocks", i, "conv")
        entries.append(Entry(f"conv{i + 1}.weight", (*path, "kernel"), CONVOLUTION))
        entries.append(Entry(f"conv{i + 1}.bias", (*path, "bias"), SAME))
    for i in blocks:
        entries += batch_norm_table(f"bn{i + 1}", ("blocks", i, "norm"))
    for i, block in blocks.items():
        if "attention" in block:
            entries += cbam_table(f"cbam{i + 1}", ("blocks", i, "attention"))
    return entries


def network_table(parameters: Parameters) -> list[Entry]:
    """Table of the base or of a branch, which has one head or two."""
    entries = blocks_table(parameters)
    for key, name in (("fc", "fc"), ("fc_dimensional", "affect")):
        if name in parameters:
            entries += linear_table(key, (name,))
    return entries


def esr_from_torch(
    state_dicts: Mapping[str, StateDict], template: Mapping[str, Parameters]
) -> dict[str, Parameters]:
    """Weights and running averages of the networks from their state dicts.

    Args:
        state_dicts: Network name (`network_names`) to state dict.
        template: Network name to tree with the wanted shapes.

    Returns:
        Network name to tree.

    Raises:
        UserError: If there are more or fewer branches, if these are networks of another kind (with
            or without attention, or the head for valence and arousal), or as
            `parameters_from_torch`.
    """
    check_branches(state_dicts)
    found, wanted = (len(networks) - 1 for networks in (state_dicts, template))
    if found != wanted:
        raise UserError(
            f"the weights are those of {found} branches, the model has {wanted} "
            "(model.num_branches); give weights of as many, or take the parts that fit"
        )
    for name, tree in template.items():
        _check_kind(FILE_STEMS[name], state_dicts[name], tree)
    return {
        name: parameters_from_torch(
            network_table(tree), state_dicts[name], tree, source=FILE_STEMS[name]
        )
        for name, tree in template.items()
    }


def check_branches(state_dicts: Mapping[str, StateDict]) -> None:
    """Refuses branches with a gap in their numbers.

    Raises:
        UserError: Names the first one that is missing.
    """
    for name in network_names(len(state_dicts) - 1):
        if name not in state_dicts:
            raise UserError(
                f"there are weights of {len(state_dicts)} networks and none of {name} "
                f"({FILE_STEMS[name]}); base and branches are numbered without a gap"
            )


def _check_kind(source: str, state_dict: StateDict, template: Parameters) -> None:
    """Names the field that differs, rather than a list of keys.

    Raises:
        UserError: If one network has a part that the other lacks.
    """
    own = [entry.key for entry in network_table(template)]
    for field, (part, prefix) in _PARTS.items():
        found, wanted = (any(key.startswith(prefix) for key in keys) for keys in (state_dict, own))
        if found != wanted:
            difference = (
                f"the weights have {part}, which the model lacks"
                if found
                else f"the model has {part}, which the weights lack"
            )
            raise UserError(
                f"{source} does not fit: {difference}; change model.{field}, or take the parts "
                "that fit"
            )


class FittedEnsemble(NamedTuple):
    """An ensemble with the weights of a similar one.

    Attributes:
        parameters: Network name to tree.
        kept: Names of what has kept the ensemble's own values: networks as `branch_9`, tensors as
            `branch_1.fc.weight`.
        unused: Names of what the ensemble has no use for.
    """

    parameters: dict[str, Parameters]
    kept: tuple[str, ...]
    unused: tuple[str, ...]


def esr_fitting_parts(
    state_dicts: Mapping[str, StateDict], own: Mapping[str, Parameters]
) -> FittedEnsemble:
    """An ensemble with what fits of another one's weights.

    Branches may be more or fewer, attention and the head for valence and arousal may be there or
    not, and the classes may be others, which leaves a branch its own last layer. All else must fit.

    Args:
        state_dicts: Network name (`network_names`) to state dict.
        own: Network name to tree of arrays.

    Raises:
        UserError: As `parameters_from_torch`.
    """
    parameters: dict[str, Parameters] = {}
    kept, unused = [], [name for name in state_dicts if name not in own]
    for name, tree in own.items():
        if name not in state_dicts:
            parameters[name] = tree
            kept.append(name)
            continue
        fitted = fitting_parts(
            network_table(tree),
            state_dicts[name],
            tree,
            may_differ=(_HEAD, *(prefix for _, prefix in _PARTS.values())),
            source=FILE_STEMS[name],
        )
        parameters[name] = fitted.parameters
        kept += [MODULE_PREFIXES[name] + key for key in fitted.kept]
        unused += [MODULE_PREFIXES[name] + key for key in fitted.unused]
    return FittedEnsemble(parameters, tuple(kept), tuple(unused))


def read_esr_files(
    source: Path, *, say: Callable[[str], None] = lambda note: None
) -> Mapping[str, StateDict]:
    """State dicts of a folder of ESR's program, or of one file for all networks.

    Args:
        source: Folder with `Net-Base-Shared_Representations.pt` and `Net-Branch_1.pt` ..., or a
            file.
        say: Told what had to be changed about the files' content.

    Raises:
        UserError: As `read_networks`.
    """
    return read_networks(
        source, stems=FILE_STEMS, prefixes=MODULE_PREFIXES, optional=OPTIONAL, say=say
    )


def torch_from_esr(parameters: Mapping[str, Parameters]) -> dict[str, dict[str, np.ndarray]]:
    """State dicts of the networks, the inverse of `esr_from_torch`."""
    return {
        name: with_counters(torch_from_parameters(network_table(tree), tree))
        for name, tree in parameters.items()
    }

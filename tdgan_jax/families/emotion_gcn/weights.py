"""Mapping tables of Emotion-GCN's networks with the keys of the six released models (spec 2.5).

The word vectors stand in no released state dict: they have a file of their own, with one key.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.torch_weights.densenet import densenet_table
from tdgan_jax.torch_weights.mapping import (
    CONVOLUTION,
    LINEAR,
    SAME,
    Entry,
    Parameters,
    StateDict,
    parameters_from_torch,
    torch_from_parameters,
    with_prefix,
)
from tdgan_jax.torch_weights.mapping import Path as TreePath
from tdgan_jax.torch_weights.optional_packages import require_torch
from tdgan_jax.torch_weights.resnet import batch_norm_table, with_counters
from tdgan_jax.torch_weights.state_files import to_tensors

# File of an export that holds each part, without its suffix.
FILE_STEMS = {"network": "emotion_gcn", "word_vectors": "word_vectors"}
# Where each part stands in one file for all: what is no word vector is the network's, so that a
# released file is one for all.
MODULE_PREFIXES = {"word_vectors": "word_vectors.", "network": ""}
# Where the released program's checkpoints hold the state dict, for `read_state_dict`.
CHECKPOINT_ENTRY = "model_state_dict"


def residual_layer_table(key: str, path: TreePath) -> list[Entry]:
    """Table of one layer of a BReG-NeXt."""
    entries = []
    for i in (0, 1):
        conv = (*path, f"conv{i}")
        entries.append(Entry(f"{key}._conv{i}.weight", (*conv, "kernel"), CONVOLUTION))
        entries.append(Entry(f"{key}._conv{i}.bias", (*conv, "bias"), SAME))
    entries += [Entry(f"{key}._shortcut._{n}", (*path, "shortcut", n), SAME) for n in ("a", "c")]
    for i in (0, 1):
        entries += batch_norm_table(f"{key}._batchnorm_conv{i}", (*path, f"norm{i}"))
    return entries


def bregnext_table(parameters: Parameters) -> list[Entry]:
    """Table of a BReG-NeXt without its last linear layer; its tree says which layers there are."""
    entries = [
        Entry("_conv0.weight", ("conv0", "kernel"), CONVOLUTION),
        Entry("_conv0.bias", ("conv0", "bias"), SAME),
    ]
    groups = parameters["groups"]
    for group, layers in groups.items():
        for i in layers:
            entries += residual_layer_table(
                f"_model.{group}._layer_stack.{i}", ("groups", group, i)
            )
    return entries + batch_norm_table(f"_model.{len(groups)}", ("norm",))


def _linear_table(key: str, name: str) -> list[Entry]:
    return [
        Entry(f"{key}.weight", (name, "kernel"), LINEAR),
        Entry(f"{key}.bias", (name, "bias"), SAME),
    ]


def network_table(parameters: Parameters) -> list[Entry]:
    """Table of a network in the order of the released state dict; its tree says which model it is.

    Args:
        parameters: Tree of weights, running averages and constants, or of their shapes.
    """
    backbone = parameters["backbone"]
    is_densenet = "blocks" in backbone
    own = densenet_table(backbone) if is_densenet else bregnext_table(backbone)
    in_backbone = lambda key: with_prefix(own, key=key, path=("backbone",))  # noqa: E731
    if "graph" in parameters:
        table = [Entry("A", ("graph", "adjacency"), SAME)]
        table += in_backbone("features." if is_densenet else "model.")
        if not is_densenet:
            table += _linear_table("model._fc0", "unused_head")
        return [
            *table,
            *(Entry(f"{g}.weight", ("graph", g, "kernel"), SAME) for g in ("gc1", "gc2")),
        ]
    if "affect_head" in parameters:
        names = {"lin_cat": "expression_head", "lin_cont": "affect_head"}
        if not is_densenet:  # the other order
            names = {"fc_cont": "affect_head", "fc_cat": "expression_head"}
        table = in_backbone("model_base." if is_densenet else "")
        return [*table, *(entry for name in names.items() for entry in _linear_table(*name))]
    if is_densenet:
        return [*in_backbone("features."), *_linear_table("classifier", "expression_head")]
    return [*in_backbone(""), *_linear_table("_fc0", "expression_head")]


def word_vectors_table(parameters: Parameters) -> list[Entry]:
    """Table of the word vectors."""
    del parameters
    return [Entry("vectors", ("vectors",), SAME)]


TABLES = {"network": network_table, "word_vectors": word_vectors_table}


def emotion_gcn_from_torch(
    state_dicts: Mapping[str, StateDict], template: Mapping[str, Parameters]
) -> dict[str, Parameters]:
    """Weights, running averages and constants of a model from its state dicts.

    Args:
        state_dicts: Part (`EmotionGCN`'s fields) to state dict.
        template: Part to tree with the wanted shapes; a baseline has no word vectors.

    Returns:
        Part to tree.

    Raises:
        UserError: As `parameters_from_torch`, and if a row of the adjacency sums to nothing, or
            the graph has no word vectors.
    """
    if missing := [name for name in template if name not in state_dicts]:
        raise UserError(
            f"there are no {' and '.join(missing)} beside the network, which its graph begins "
            "with: put the weights into a folder as emotion_gcn.pth (.pkl, .pt, .safetensors) and "
            "the released program's --emb file as word_vectors.pkl, and import the folder"
        )
    parameters = {
        name: parameters_from_torch(
            TABLES[name](tree), state_dicts[name], tree, source=FILE_STEMS[name]
        )
        for name, tree in template.items()
    }
    graph = parameters.get("network", {}).get("graph")
    if graph is not None and (graph["adjacency"].sum(axis=1) <= 0).any():
        raise UserError(f"{FILE_STEMS['network']} is damaged: a row of A does not sum above 0")
    return parameters


def torch_from_emotion_gcn(
    parameters: Mapping[str, Parameters],
) -> dict[str, dict[str, np.ndarray]]:
    """State dicts of the parts, the inverse of `emotion_gcn_from_torch`."""
    return {
        name: with_counters(torch_from_parameters(TABLES[name](tree), tree))
        for name, tree in parameters.items()
    }


def write_checkpoint(path: Path, state_dict: StateDict, *, epoch: int = 0) -> None:
    """Writes a network as the released program does after its best epoch.

    Args:
        path: The file.
        state_dict: The network's.
        epoch: Number of the epoch, from 0.

    Raises:
        UserError: If PyTorch is missing or the file cannot be written.
    """
    torch = require_torch("a checkpoint of the released program")
    content = {
        "epoch": epoch,
        CHECKPOINT_ENTRY: to_tensors(state_dict),
        # Nothing is left of the optimiser once a model is selected.
        "optimizer_state_dict": {},
    }
    try:
        torch.save(content, path)
    except (OSError, RuntimeError) as error:
        raise UserError(f"cannot write {path.name}: {str(error).splitlines()[0]}") from error

"""ESR's stored forms: shapes of its networks, and its weights for PyTorch."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.families.esr import weights as tables
from tdgan_jax.families.esr.architecture import esr_architecture
from tdgan_jax.families.esr.networks import make_esr, split_networks
from tdgan_jax.families.esr.parity import compare_with_onnx, compare_with_twin, write_onnx
from tdgan_jax.families.esr.start_weights import RELEASED_NAMES
from tdgan_jax.families.esr.step import PREDICTIONS
from tdgan_jax.families.esr.voters import (
    all_voters,
    check_all_vote,
    voters_tree,
    without_voters,
)
from tdgan_jax.families.shapes import network_shapes
from tdgan_jax.families.stored import ModelDescription, NetworkShapes, StoredFamily
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.torch_weights.mapping import StateDict


def esr_shapes(description: ModelDescription) -> NetworkShapes:
    """The networks of a description, without values, and who votes.

    Raises:
        UserError: If the architecture is not ESR's or a size is impossible.
    """
    architecture = dict(description.architecture)
    prediction = architecture.pop("prediction", None)
    if prediction not in PREDICTIONS:
        raise UserError(
            f"the architecture of the model is impossible: prediction is {prediction!r}; known: "
            f"{', '.join(PREDICTIONS)}"
        )
    shapes = network_shapes(make_esr, split_networks, description, architecture=architecture)
    num_branches = len(shapes.definitions.branches)
    voters = voters_tree(jax.ShapeDtypeStruct((num_branches,), np.float32))
    return shapes._replace(parameters=shapes.parameters | voters)


def from_torch(state_dicts: Mapping[str, StateDict], template: Mapping[str, Any]) -> dict[str, Any]:
    """The networks of state dicts, all of whose branches vote; see `esr_from_torch`."""
    networks = tables.esr_from_torch(state_dicts, without_voters(template))
    return networks | all_voters(len(networks) - 1)


def to_torch(parameters: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """State dicts of the networks.

    Raises:
        UserError: If some branches have not learned yet.
    """
    check_all_vote(parameters)
    return tables.torch_from_esr(without_voters(parameters))


ESR_STORAGE = StoredFamily(
    stems=tables.FILE_STEMS,
    prefixes=tables.MODULE_PREFIXES,
    released_names=RELEASED_NAMES,
    shapes=esr_shapes,
    find_architecture=esr_architecture,
    from_torch=from_torch,
    to_torch=to_torch,
    compare_with_twin=compare_with_twin,
    write_onnx=write_onnx,
    compare_with_onnx=compare_with_onnx,
    optional=tables.OPTIONAL,
    normalisation=Normalisation(channel_order="bgr"),
    suffix=tables.FILE_SUFFIX,
)

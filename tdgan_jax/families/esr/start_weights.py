"""The weights that a new ensemble begins with, and the order of their classes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.esr.step import TrainState
from tdgan_jax.families.esr.voters import without_voters
from tdgan_jax.families.esr.weights import (
    esr_fitting_parts,
    esr_from_torch,
    read_esr_files,
    torch_from_esr,
)
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.files import read_json
from tdgan_jax.torch_weights.mapping import StateDict

# Classes of the published weights, in their order (spec ESR A.5).
RELEASED_NAMES = (
    *("neutral", "happiness", "sadness", "surprise"),
    *("fear", "disgust", "anger", "contempt"),
)
FIELD = "training.start_weights"
_RUN_FILE, _EXPORT_FILE = "config.json", "model.json"
# Keys of the last layer, whose rows are the classes, and of the layer whose columns are.
_ROWS, _COLUMNS = ("fc.weight", "fc.bias"), "fc_dimensional.weight"


class GivenWeights(NamedTuple):
    """Weights of an ensemble.

    Attributes:
        state_dicts: Network name to state dict.
        expression_names: Classes in the order of the logits.
    """

    state_dicts: Mapping[str, StateDict]
    expression_names: tuple[str, ...]


def given_weights(path: Path, load: Callable[[Path], StoredModel]) -> GivenWeights:
    """Reads weights from wherever they are.

    Args:
        path: Folder of ESR's program, a file for all networks, an export or a run.
        load: Opens a run.

    Raises:
        UserError: If there are none, they are damaged, or of another system.
    """
    if (path / _RUN_FILE).is_file():
        stored = load(path)
        if "branch_1" not in stored.parameters:
            raise UserError(
                f"{FIELD}: {path} is a run of the family {stored.description.family!r}; give one "
                "of an ESR"
            )
        names = stored.description.expression_names
        return GivenWeights(torch_from_esr(without_voters(stored.parameters)), names)
    names = RELEASED_NAMES
    if (path / _EXPORT_FILE).is_file():
        names = _names_of_export(path / _EXPORT_FILE)
    return GivenWeights(read_esr_files(path), names)


def _names_of_export(path: Path) -> tuple[str, ...]:
    described = read_json(path)
    names = described.get("expression_names") if isinstance(described, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path} is damaged: expression_names is no list of names")
    return tuple(names)


def with_start_weights(
    path: Path,
    takes_fitting_parts: bool,
    expression_names: Sequence[str],
    state: TrainState,
    load: Callable[[Path], StoredModel],
) -> TrainState:
    """A new run's state whose networks begin with the weights of another ensemble.

    The optimiser's state is that of all weights: zeros.

    Args:
        path: As of `given_weights`.
        takes_fitting_parts: Whether what fits is taken where the ensembles differ, see
            `esr_fitting_parts`; heads of other classes are left out.
        expression_names: Classes of the new ensemble.
        state: The state of a new run, on the host.
        load: Opens a run.

    Raises:
        UserError: If the weights are unreadable or do not fit.
        UsageError: If their classes are others and must fit.
    """
    given = given_weights(path, load)
    if set(given.expression_names) == set(expression_names):
        order = [given.expression_names.index(name) for name in expression_names]
        state_dicts = _with_heads(given.state_dicts, lambda head: _reordered(head, order))
    elif takes_fitting_parts:
        state_dicts = _with_heads(given.state_dicts, lambda head: {})
    else:
        raise UsageError(
            f"{FIELD}: the classes of {path} are {', '.join(given.expression_names)}, those of the "
            f"data {', '.join(expression_names)}; training.take_fitting_parts begins with new last "
            "layers"
        )
    if takes_fitting_parts:
        return state._replace(weights=esr_fitting_parts(state_dicts, state.weights).parameters)
    return state._replace(weights=esr_from_torch(state_dicts, state.weights))


def _with_heads(
    state_dicts: Mapping[str, StateDict], change: Callable[[StateDict], StateDict]
) -> dict[str, dict[str, np.ndarray]]:
    """State dicts whose layers of the classes are changed."""
    changed = {}
    for name, state_dict in state_dicts.items():
        heads = {key: value for key, value in state_dict.items() if key.startswith("fc")}
        others = {key: value for key, value in state_dict.items() if key not in heads}
        changed[name] = others | dict(change(heads))
    return changed


def _reordered(head: StateDict, order: Sequence[int]) -> dict[str, Any]:
    """The layers of a branch with other places of the classes."""
    places = np.array(order)
    reordered = dict(head)
    for key in _ROWS:
        if key in head and len(head[key]) == len(places):  # else the shapes are refused later
            reordered[key] = head[key][places]
    if _COLUMNS in head and head[_COLUMNS].shape[-1] == len(places):
        reordered[_COLUMNS] = head[_COLUMNS][:, places]
    return reordered

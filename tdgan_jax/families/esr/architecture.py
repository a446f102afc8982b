"""What the state dicts of an ESR tell about its networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.families.esr.weights import FILE_STEMS, check_branches
from tdgan_jax.families.stored import FoundArchitecture
from tdgan_jax.torch_weights.cbam import USUAL_REDUCTION, attention_reduction
from tdgan_jax.torch_weights.mapping import StateDict

IMAGE_SIZE_PX = 96
# Where the known ensembles pool and pad, by their numbers of layers in base and branch: the one for
# pictures in the wild and the small one for CK+ (spec A.1, A.9). Weights do not tell.
LAYOUTS: Mapping[tuple[int, int], dict[str, list[int]]] = {
    (4, 4): {
        "base_pooled_layers": [2, 4],
        "base_padded_layers": [],
        "branch_pooled_layers": [2],
        "branch_padded_layers": [4],
    },
    (3, 2): {
        "base_pooled_layers": [2, 3],
        "base_padded_layers": [],
        "branch_pooled_layers": [1],
        "branch_padded_layers": [],
    },
}
PREDICTION = "vote"  # usual, as the weights do not tell it either
UNKNOWN_LAYOUT: dict[str, list[int]] = {name: [] for name in LAYOUTS[4, 4]}


def esr_architecture(state_dicts: Mapping[str, StateDict]) -> FoundArchitecture:
    """Finds the architecture that weights belong to.

    Only what decides is looked at; whether all tensors fit is seen when they are mapped.

    Args:
        state_dicts: Network name (`network_names`) to state dict.

    Returns:
        The arguments of `make_esr`, sequences as lists, and the field `prediction`.

    Raises:
        UserError: If a branch or a deciding tensor is missing.
    """
    check_branches(state_dicts)
    base, branch = state_dicts["base"], state_dicts["branch_1"]
    base_widths, branch_widths = (_widths(n, state_dicts[n]) for n in ("base", "branch_1"))
    layout = LAYOUTS.get((len(base_widths), len(branch_widths)), UNKNOWN_LAYOUT)
    reduction = attention_reduction(state_dicts.values())
    architecture: dict[str, Any] = {
        "num_branches": len(state_dicts) - 1,
        "image_size_px": IMAGE_SIZE_PX,
        "image_channels": base["conv1.weight"].shape[1],
        "base_widths": base_widths,
        "branch_widths": branch_widths,
        **layout,
        "has_attention": reduction is not None,
        "attention_reduction": reduction or USUAL_REDUCTION,
        "has_affect": "fc_dimensional.weight" in branch,
        "prediction": PREDICTION,
    }
    untold = ["image_size_px", "prediction", *layout]
    if reduction is None:
        untold.append("attention_reduction")
    return FoundArchitecture(
        architecture,
        num_expressions=_tensor("branch_1", branch, "fc.weight", 2).shape[0],
        num_identities=0,
        untold=tuple(untold),
        rounded=("attention_reduction",),
    )


def _widths(name: str, state_dict: StateDict) -> list[int]:
    widths = []
    while not widths or f"conv{len(widths) + 1}.weight" in state_dict:
        key = f"conv{len(widths) + 1}.weight"
        widths.append(_tensor(name, state_dict, key, 4).shape[0])
    return widths


def _tensor(name: str, state_dict: StateDict, key: str, rank: int) -> np.ndarray:
    value = state_dict.get(key)
    if value is None or value.ndim != rank or not value.size:
        found = f"no {key}" if value is None else f"{key} of the shape {value.shape}"
        raise UserError(f"these are not the weights of an ESR: {FILE_STEMS[name]} has {found}")
    return value

"""Attention modules (CBAM) in state dicts: their mapping table, and what their shapes tell.

Source: spec ESR and MA-Net, A.3.
"""

from collections.abc import Iterable

from tdgan_jax.errors import UserError
from tdgan_jax.torch_weights.mapping import CONVOLUTION, Entry, Path, StateDict
from tdgan_jax.torch_weights.resnet import batch_norm_table, linear_table

USUAL_REDUCTION = 16


def cbam_table(key: str, path: Path) -> list[Entry]:
    """Table of an attention module, its running averages included."""
    entries = []
    for layer, place in ((1, "squeeze"), (3, "excite")):
        entries += linear_table(f"{key}.ChannelGate.mlp.{layer}", (*path, "channel_gate", place))
    name, node = f"{key}.SpatialGate.spatial", (*path, "spatial_gate")
    entries.append(Entry(f"{name}.conv.weight", (*node, "conv", "kernel"), CONVOLUTION))
    return entries + batch_norm_table(f"{name}.bn", (*node, "norm"))


def attention_reduction(state_dicts: Iterable[StateDict]) -> int | None:
    """The reduction of channels that the attention modules of state dicts have.

    Args:
        state_dicts: Key to array; all modules are taken together, since each alone tells an
            interval. `USUAL_REDUCTION` is chosen where it is among what is possible.

    Returns:
        The reduction; None without attention.

    Raises:
        UserError: If no reduction gives all of these shapes.
    """
    low, high = 1, None
    found = False
    for state_dict in state_dicts:
        for key, tensor in state_dict.items():
            if not key.endswith("ChannelGate.mlp.1.weight") or tensor.ndim != 2 or not tensor.size:
                continue
            found = True
            hidden, channels = tensor.shape
            low = max(low, channels // (hidden + 1) + 1)
            if hidden > 1:  # with one hidden unit any larger one will do
                high = channels // hidden if high is None else min(high, channels // hidden)
    if not found:
        return None
    if high is not None and high < low:
        raise UserError("the attention modules' hidden layers belong to no common reduction")
    if low <= USUAL_REDUCTION and (high is None or USUAL_REDUCTION <= high):
        return USUAL_REDUCTION
    return low

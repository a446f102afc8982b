"""Weights of a similar network: what fits is taken, for the rest a network keeps its own values."""

from collections.abc import Sequence
from typing import NamedTuple

from tdgan_jax.torch_weights.mapping import (
    Entry,
    Parameters,
    StateDict,
    parameters_from_torch,
    torch_from_parameters,
)


class Fitted(NamedTuple):
    """A network with the weights of a similar one.

    Attributes:
        parameters: Its tree.
        kept: Keys of which it has kept its own values.
        unused: Keys of the other network that it has no use for, counters left out.
    """

    parameters: Parameters
    kept: tuple[str, ...]
    unused: tuple[str, ...]


def fitting_parts(
    table: Sequence[Entry],
    state_dict: StateDict,
    own: Parameters,
    *,
    may_differ: tuple[str, ...],
    source: str,
) -> Fitted:
    """Takes all of a state dict but the parts that may differ, and of these what fits.

    Args:
        table: The network's, one entry per parameter.
        state_dict: Key to array, of a similar network.
        own: The network's tree of arrays.
        may_differ: How the keys begin that may be missing, in excess, or of another shape.
        source: What to call the state dict in messages.

    Raises:
        UserError: As `parameters_from_torch`, if any other key differs.
    """
    mine = torch_from_parameters(table, own)
    differing = [key for key in mine if key.startswith(may_differ)]
    kept = [
        key
        for key in differing
        if key not in state_dict or state_dict[key].shape != mine[key].shape
    ]
    unused = [key for key in state_dict if key not in mine and key.startswith(may_differ)]
    taken = {key: value for key, value in state_dict.items() if key not in unused}
    taken |= {key: mine[key] for key in kept}
    parameters = parameters_from_torch(table, taken, own, source=source)
    counted = [key for key in unused if not key.endswith("num_batches_tracked")]
    return Fitted(parameters, tuple(kept), tuple(counted))

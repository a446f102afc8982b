"""Which branches of an ensemble answer: stored beside the networks, as one more tree.

A training that adds branch after branch has all of them from its beginning.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tdgan_jax.errors import UserError

VOTERS = "voters"  # among the names of networks
_IS_VOTER = "is_voter"


def voters_tree(is_voter: Any) -> dict[str, Any]:
    """The tree by its name, of float32 `[R]` that is 1 for a branch that answers, else 0."""
    return {VOTERS: {_IS_VOTER: is_voter}}


def all_voters(num_branches: int) -> dict[str, Any]:
    """The tree of an ensemble whose branches all answer."""
    return voters_tree(np.ones(num_branches, np.float32))


def voters_of(parameters: Mapping[str, Any]) -> Any:
    """float32 `[R]` of an ensemble's parameters."""
    return parameters[VOTERS][_IS_VOTER]


def without_voters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The networks alone."""
    return {name: tree for name, tree in parameters.items() if name != VOTERS}


def check_all_vote(parameters: Mapping[str, Any]) -> None:
    """Refuses an ensemble that has not learned all of its branches.

    Raises:
        UserError: Says how many there are.
    """
    voters = np.asarray(voters_of(parameters))
    if not voters.all():
        raise UserError(
            f"{int(voters.sum())} of {len(voters)} branches have learned; other programs can be "
            "given the ensemble when its training has reached the last one"
        )

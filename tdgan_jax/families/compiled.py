"""Compiled functions of a network: its definition is a part of the program, not an argument."""

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax


class Definition:
    """Definitions of networks, as a static argument whose hash is computed once.

    That of an `nnx.GraphDef` goes through the whole network at every call, which takes a fifth of
    the time that a small network needs for a batch.

    Attributes:
        value: One `nnx.GraphDef`, or a tuple of several.
    """

    def __init__(self, value: Hashable):
        """Computes the hash."""
        self.value: Any = value
        self._hash = hash(value)

    def __hash__(self) -> int:
        """The hash of the value."""
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Whether both define the same networks."""
        return self is other or (isinstance(other, Definition) and self.value == other.value)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles `function(definitions, ...)`, once for models of the same architecture.

    Args:
        function: Takes definitions first, then arrays.

    Returns:
        The same function, except for its first argument, which is a `Definition`.
    """

    @functools.partial(jax.jit, static_argnums=0)
    @functools.wraps(function)
    def call(definition: Definition, *arrays: Any) -> Any:
        return function(definition.value, *arrays)

    return call

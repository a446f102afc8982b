"""The networks of a stored architecture without values."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from flax import nnx

from tdgan_jax.errors import UserError
from tdgan_jax.families.stored import ModelDescription, NetworkShapes

Make = Callable[..., Any]
Split = Callable[[Any], tuple[Any, dict[str, Any]]]


def network_shapes(
    make: Make,
    split: Split,
    description: ModelDescription,
    *,
    architecture: Mapping[str, Any] | None = None,
) -> NetworkShapes:
    """The networks of a description.

    Args:
        make: Makes the networks of an architecture, given `num_expressions` and `rngs` too.
        split: Divides them into definitions and trees by name.
        description: Of the model.
        architecture: The arguments of `make`; those of the description by default.

    Raises:
        UserError: If the architecture is not of this system or a size is impossible.
    """
    fields = description.architecture if architecture is None else architecture
    # Sequences are lists where they have been in a file.
    known = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    try:
        return _shapes(make, split, tuple(sorted(known.items())), len(description.expression_names))
    except (TypeError, ValueError, ArithmeticError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the architecture of the model is impossible: {reason}") from error


@cache  # tracing the networks takes a second
def _shapes(
    make: Make, split: Split, architecture: tuple[tuple[str, Any], ...], num_expressions: int
) -> NetworkShapes:
    networks = nnx.eval_shape(
        lambda: make(num_expressions=num_expressions, rngs=nnx.Rngs(0), **dict(architecture))
    )
    return NetworkShapes(*split(networks))

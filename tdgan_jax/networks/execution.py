"""How networks are computed: in which precision, and what is computed again for the gradient.

Neither changes a parameter or its type: the same weights serve every way. The ways are attributes
of the layers, set before a network is split into definition and parameters.
"""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
from flax import nnx

from tdgan_jax.networks.inception import Encoder

PRECISIONS = ("float32", "bfloat16")


def set_execution(
    networks: Iterable[nnx.Module | None], *, precision: str, rematerialise: bool = False
) -> None:
    """Sets how networks are computed from now on.

    In bfloat16 convolutions and matrix products round their inputs, weights and results to it, and
    what lies between them is of that type. Parameters, their gradients, the statistics of the
    norms, attention weights and drawn images stay float32.

    Args:
        networks: Changed in place; None among them is passed over.
        precision: One of `PRECISIONS`.
        rematerialise: Whether TDGAN's encoders compute the inside of their layers again for the
            gradient instead of keeping it.

    Raises:
        ValueError: If the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; known: {', '.join(PRECISIONS)}")
    dtype = jnp.bfloat16 if precision == "bfloat16" else None
    for network in networks:
        if network is None:
            continue
        for _, layer in nnx.iter_modules(network):
            _set_execution(layer, dtype, rematerialise)


def _set_execution(layer: Any, dtype: Any, rematerialise: bool) -> None:
    if hasattr(layer, "dtype"):
        layer.dtype = dtype
    if isinstance(layer, Encoder):
        layer.rematerialises = rematerialise

"""TDGAN's stored forms: shapes of its networks, and its weights in PyTorch's layout."""

from collections.abc import Mapping
from functools import cache

from flax import nnx

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.families.stored import (
    FoundArchitecture,
    ModelDescription,
    NetworkShapes,
    StoredFamily,
)
from tdgan_jax.families.tdgan import weights as tables
from tdgan_jax.families.tdgan.architecture import tdgan_architecture
from tdgan_jax.families.tdgan.networks import make_tdgan, split_networks
from tdgan_jax.families.tdgan.parity import compare_with_onnx, compare_with_twin, write_onnx
from tdgan_jax.torch_weights.mapping import StateDict


def tdgan_shapes(description: ModelDescription) -> NetworkShapes:
    """The six networks of a description, without values.

    Raises:
        UserError: If the architecture is not TDGAN's or a size is impossible.
    """
    architecture = tuple(sorted(description.architecture.items()))
    counts = (description.num_identities, len(description.expression_names))
    try:
        return _shapes(architecture, *counts)
    except (TypeError, ValueError, ArithmeticError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the architecture of the model is impossible: {reason}") from error


@cache  # tracing the networks takes a second
def _shapes(
    architecture: tuple[tuple[str, int | float | str], ...],
    num_identities: int,
    num_expressions: int,
) -> NetworkShapes:
    networks = nnx.eval_shape(
        lambda: make_tdgan(
            num_identities=num_identities,
            num_expressions=num_expressions,
            rngs=nnx.Rngs(0),
            **dict(architecture),  # pyright: ignore[reportArgumentType]
        )
    )
    return NetworkShapes(*split_networks(networks))


def find_architecture(state_dicts: Mapping[str, StateDict]) -> FoundArchitecture:
    """What state dicts tell: all but the dropout rate of the training and the decoder's norm."""
    found = tdgan_architecture(state_dicts)
    return FoundArchitecture(
        *found, untold=("dropout_rate", "decoder_norm"), rounded=("width_multiplier",)
    )


TDGAN_STORAGE = StoredFamily(
    stems=tables.FILE_STEMS,
    prefixes=tables.MODULE_PREFIXES,
    released_names=BASIC_EXPRESSIONS,
    shapes=tdgan_shapes,
    find_architecture=find_architecture,
    from_torch=tables.tdgan_from_torch,
    to_torch=tables.torch_from_tdgan,
    compare_with_twin=compare_with_twin,
    write_onnx=write_onnx,
    compare_with_onnx=compare_with_onnx,
)

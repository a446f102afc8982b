"""IF-GAN's stored forms: shapes of its networks, and its weights in PyTorch's layout."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from flax import nnx

from tdgan_jax.errors import UserError
from tdgan_jax.families.ifgan import weights as tables
from tdgan_jax.families.ifgan.architecture import ifgan_architecture
from tdgan_jax.families.ifgan.networks import make_ifgan, split_networks
from tdgan_jax.families.ifgan.parity import compare_with_onnx, compare_with_twin, write_onnx
from tdgan_jax.families.stored import (
    FoundArchitecture,
    ModelDescription,
    NetworkShapes,
    StoredFamily,
)
from tdgan_jax.torch_weights.mapping import StateDict


def ifgan_shapes(description: ModelDescription) -> NetworkShapes:
    """The networks of a description, without values.

    Raises:
        UserError: If the architecture is not IF-GAN's or a size is impossible.
    """
    architecture = tuple(sorted(description.architecture.items()))
    try:
        return _shapes(architecture, len(description.expression_names))
    except (TypeError, ValueError, ArithmeticError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the architecture of the model is impossible: {reason}") from error


@cache  # tracing the networks takes a second
def _shapes(architecture: tuple[tuple[str, Any], ...], num_expressions: int) -> NetworkShapes:
    networks = nnx.eval_shape(
        lambda: make_ifgan(num_expressions=num_expressions, rngs=nnx.Rngs(0), **dict(architecture))
    )
    return NetworkShapes(*split_networks(networks))


def find_architecture(state_dicts: Mapping[str, StateDict]) -> FoundArchitecture:
    """What state dicts tell; the size of the images is not among it."""
    architecture, num_expressions, untold = ifgan_architecture(state_dicts)
    return FoundArchitecture(
        architecture, num_expressions, 0, untold=untold, rounded=("attention_reduction",)
    )


IFGAN_STORAGE = StoredFamily(
    stems=tables.FILE_STEMS,
    prefixes=tables.MODULE_PREFIXES,
    released_names=(),
    shapes=ifgan_shapes,
    find_architecture=find_architecture,
    from_torch=tables.ifgan_from_torch,
    to_torch=tables.torch_from_ifgan,
    compare_with_twin=compare_with_twin,
    write_onnx=write_onnx,
    compare_with_onnx=compare_with_onnx,
    optional=("generator", "discriminator"),
    test_transform="square_centre_crop",
)

"""The plain classifier's stored forms: shapes of its networks, and its weights for PyTorch."""

from functools import cache
from typing import Any

from flax import nnx

from tdgan_jax.errors import UserError
from tdgan_jax.families.classifier import weights as tables
from tdgan_jax.families.classifier.architecture import classifier_architecture
from tdgan_jax.families.classifier.networks import make_classifier, split_networks
from tdgan_jax.families.classifier.parity import compare_with_onnx, compare_with_twin, write_onnx
from tdgan_jax.families.stored import ModelDescription, NetworkShapes, StoredFamily, as_hashable


def classifier_shapes(description: ModelDescription) -> NetworkShapes:
    """The networks of a description, without values.

    Raises:
        UserError: If the architecture is not the classifier's or a size is impossible.
    """
    architecture = as_hashable(description.architecture)
    try:
        return _shapes(architecture, len(description.expression_names))
    except (TypeError, ValueError, ArithmeticError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the architecture of the model is impossible: {reason}") from error


@cache  # tracing the networks takes a second
def _shapes(architecture: tuple[tuple[str, Any], ...], num_expressions: int) -> NetworkShapes:
    networks = nnx.eval_shape(
        lambda: make_classifier(
            num_expressions=num_expressions, rngs=nnx.Rngs(0), **dict(architecture)
        )
    )
    return NetworkShapes(*split_networks(networks))


CLASSIFIER_STORAGE = StoredFamily(
    stems=tables.FILE_STEMS,
    prefixes=tables.MODULE_PREFIXES,
    released_names=(),
    shapes=classifier_shapes,
    find_architecture=classifier_architecture,
    from_torch=tables.classifier_from_torch,
    to_torch=tables.torch_from_classifier,
    compare_with_twin=compare_with_twin,
    write_onnx=write_onnx,
    compare_with_onnx=compare_with_onnx,
)

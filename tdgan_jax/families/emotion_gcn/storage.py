"""Emotion-GCN's stored forms: shapes of its parts, and its weights for PyTorch."""

from functools import cache
from typing import Any

from flax import nnx

from tdgan_jax.errors import UserError
from tdgan_jax.families.emotion_gcn import weights as tables
from tdgan_jax.families.emotion_gcn.adjacency import AFFECTNET_EXPRESSIONS
from tdgan_jax.families.emotion_gcn.architecture import emotion_gcn_architecture
from tdgan_jax.families.emotion_gcn.fields import IMAGENET_DEVIATION, IMAGENET_MEAN
from tdgan_jax.families.emotion_gcn.networks import make_emotion_gcn, split_networks
from tdgan_jax.families.emotion_gcn.parity import compare_with_onnx, compare_with_twin, write_onnx
from tdgan_jax.families.emotion_gcn.word_vectors import read_imported_word_vectors
from tdgan_jax.families.stored import ModelDescription, NetworkShapes, StoredFamily, as_hashable
from tdgan_jax.networks.normalisation import Normalisation


def emotion_gcn_shapes(description: ModelDescription) -> NetworkShapes:
    """The parts of a description, without values.

    Raises:
        UserError: If the architecture is not that of such a model or a size is impossible.
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
        lambda: make_emotion_gcn(
            num_expressions=num_expressions, rngs=nnx.Rngs(0), **dict(architecture)
        )
    )
    return NetworkShapes(*split_networks(networks))


EMOTION_GCN_STORAGE = StoredFamily(
    stems=tables.FILE_STEMS,
    prefixes=tables.MODULE_PREFIXES,
    released_names=AFFECTNET_EXPRESSIONS,
    shapes=emotion_gcn_shapes,
    find_architecture=emotion_gcn_architecture,
    from_torch=tables.emotion_gcn_from_torch,
    to_torch=tables.torch_from_emotion_gcn,
    compare_with_twin=compare_with_twin,
    write_onnx=write_onnx,
    compare_with_onnx=compare_with_onnx,
    optional=("word_vectors",),
    normalisation=Normalisation(IMAGENET_MEAN, IMAGENET_DEVIATION),
    readers={"word_vectors": read_imported_word_vectors},
)

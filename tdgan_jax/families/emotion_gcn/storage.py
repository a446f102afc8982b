"""Emotion-GCN's stored forms: shapes of its parts, and its weights for PyTorch."""

from functools import partial

from tdgan_jax.families.emotion_gcn import weights as tables
from tdgan_jax.families.emotion_gcn.adjacency import AFFECTNET_EXPRESSIONS
from tdgan_jax.families.emotion_gcn.architecture import emotion_gcn_architecture
from tdgan_jax.families.emotion_gcn.networks import make_emotion_gcn, split_networks
from tdgan_jax.families.emotion_gcn.parity import compare_with_onnx, compare_with_twin, write_onnx
from tdgan_jax.families.emotion_gcn.word_vectors import read_imported_word_vectors
from tdgan_jax.families.image_fields import IMAGENET_DEVIATION, IMAGENET_MEAN
from tdgan_jax.families.shapes import network_shapes
from tdgan_jax.families.stored import StoredFamily
from tdgan_jax.networks.normalisation import Normalisation

EMOTION_GCN_STORAGE = StoredFamily(
    stems=tables.FILE_STEMS,
    prefixes=tables.MODULE_PREFIXES,
    released_names=AFFECTNET_EXPRESSIONS,
    shapes=partial(network_shapes, make_emotion_gcn, split_networks),
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

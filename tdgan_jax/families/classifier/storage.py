"""The plain classifier's stored forms: shapes of its networks, and its weights for PyTorch."""

from functools import partial

from tdgan_jax.families.classifier import weights as tables
from tdgan_jax.families.classifier.architecture import classifier_architecture
from tdgan_jax.families.classifier.networks import make_classifier, split_networks
from tdgan_jax.families.classifier.parity import compare_with_onnx, compare_with_twin, write_onnx
from tdgan_jax.families.shapes import network_shapes
from tdgan_jax.families.stored import StoredFamily

CLASSIFIER_STORAGE = StoredFamily(
    stems=tables.FILE_STEMS,
    prefixes=tables.MODULE_PREFIXES,
    released_names=(),
    shapes=partial(network_shapes, make_classifier, split_networks),
    find_architecture=classifier_architecture,
    from_torch=tables.classifier_from_torch,
    to_torch=tables.torch_from_classifier,
    compare_with_twin=compare_with_twin,
    write_onnx=write_onnx,
    compare_with_onnx=compare_with_onnx,
)

"""The stored forms of all six models, beside the recogniser in PyTorch."""

import jax
import numpy as np
import pytest

from tdgan_jax.exchange.description import write_description
from tdgan_jax.exchange.opening import check_same_architecture, open_export
from tdgan_jax.families.emotion_gcn.adjacency import AFFECTNET_EXPRESSIONS
from tdgan_jax.families.emotion_gcn.storage import EMOTION_GCN_STORAGE
from tdgan_jax.families.stored import ModelDescription, Preprocessing, StoredModel
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.torch_weights.state_files import write_torch_files
from tests.families.emotion_gcn.emotion_networks import (
    MODELS,
    SMALL,
    filled_model,
    shapes_of,
    small_word_vectors,
)


def stored_model(heads: str, backbone: str) -> StoredModel:
    fields = {"heads": heads, "backbone": backbone, "image_channels": 3, **SMALL}
    normalisation = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3), "bgr")
    preprocessing = Preprocessing(SMALL["image_size_px"], 3, "resize", None, normalisation)
    architecture = fields | {"adjacency_form": "transposed"}
    description = ModelDescription(
        "emotion_gcn", architecture, AFFECTNET_EXPRESSIONS, 0, (), preprocessing
    )
    definitions, _ = shapes_of(**fields)
    parameters = {"network": filled_model(**fields).parameters}
    if heads == "emotion_gcn":
        parameters["word_vectors"] = {"vectors": small_word_vectors()}
    return StoredModel(description, definitions, parameters)


@pytest.mark.parametrize(("heads", "backbone"), MODELS)
def test_an_export_is_the_model_in_both_programs(heads, backbone, tmp_path):
    pytest.importorskip("torch", reason="the twin needs PyTorch")
    family, stored = EMOTION_GCN_STORAGE, stored_model(heads, backbone)
    state_dicts = family.to_torch(stored.parameters)
    write_description(tmp_path, stored.description, weights="torch", parity={})
    write_torch_files(tmp_path, state_dicts, family.stems)
    opened = open_export(tmp_path)
    check_same_architecture(tmp_path, opened.description, family.find_architecture(state_dicts))
    jax.tree.map(np.testing.assert_array_equal, opened.parameters, stored.parameters)
    compared = family.compare_with_twin(opened, tmp_path)
    assert set(compared) == {"logits"} | ({"affect"} if heads != "single_task" else set())
    for difference in compared.values():
        assert difference.scale > 0 and difference.largest < 1e-4 * max(1, difference.scale)

"""The plain classifier with a DenseNet: both ways of its weights, and its stored forms."""

import jax
import numpy as np
import pytest
from flax import nnx

from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError
from tdgan_jax.exchange.opening import check_same_architecture
from tdgan_jax.families.classifier.model import ClassifierModel
from tdgan_jax.families.classifier.networks import split_networks
from tdgan_jax.families.classifier.storage import CLASSIFIER_STORAGE
from tdgan_jax.families.classifier.training import classifier_networks
from tdgan_jax.families.stored import ModelDescription, Preprocessing, StoredModel
from tdgan_jax.networks.densenet import DEPTHS

NAMES = ("anger", "happiness", "neutral")
FIELDS = ("model.encoder=densenet",)


@pytest.fixture(scope="module")
def stored() -> StoredModel:
    config = load_config("configs/classifier_synthetic.py:tiny", FIELDS)
    networks = classifier_networks(config, num_expressions=3, rngs=nnx.Rngs(0))
    architecture = config.model.to_dict()
    description = ModelDescription(
        "classifier", architecture, NAMES, 0, (), Preprocessing(32, 1, "resize")
    )
    definitions, parameters = split_networks(networks)
    return StoredModel(description, definitions, jax.tree.map(np.asarray, parameters))


def test_the_weights_go_both_ways_and_tell_the_architecture(stored, tmp_path):
    state_dicts = CLASSIFIER_STORAGE.to_torch(stored.parameters)
    found = CLASSIFIER_STORAGE.find_architecture(state_dicts)
    # As `model.json` gives them back: lists.
    architecture = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in stored.description.architecture.items()
    }
    read = stored.description._replace(architecture=architecture)
    check_same_architecture(tmp_path, read, found)
    shapes = CLASSIFIER_STORAGE.shapes(read).parameters
    again = CLASSIFIER_STORAGE.from_torch(state_dicts, shapes)
    jax.tree.map(np.testing.assert_array_equal, again, stored.parameters)


def test_pytorch_answers_the_same(stored, tmp_path):
    pytest.importorskip("torch", reason="the twin needs PyTorch")
    from tdgan_jax.exchange.description import write_description
    from tdgan_jax.torch_weights.state_files import write_torch_files

    write_description(tmp_path, stored.description, weights="torch", parity={})
    state_dicts = CLASSIFIER_STORAGE.to_torch(stored.parameters)
    write_torch_files(tmp_path, state_dicts, CLASSIFIER_STORAGE.stems)
    (difference,) = CLASSIFIER_STORAGE.compare_with_twin(stored, tmp_path).values()
    assert difference.largest < 1e-5 * max(1, difference.scale)


def test_the_feature_is_pooled_and_the_default_has_121_layers(stored):
    images = np.zeros((2, 32, 32, 1), np.float32)
    assert ClassifierModel(stored).expression_features(images).shape == (2, 1, 1, 14)
    config = load_config("configs/classifier_fer2013.py", FIELDS)
    assert config.model.densenet_block_layers == DEPTHS[121]


def test_images_that_are_too_small_are_refused():
    config = load_config("configs/classifier_synthetic.py:tiny", FIELDS)
    config.model.image_size_px = 4
    with pytest.raises(UsageError, match="image_size_px must be at least 5 for a DenseNet"):
        nnx.eval_shape(lambda: classifier_networks(config, num_expressions=3, rngs=nnx.Rngs(0)))

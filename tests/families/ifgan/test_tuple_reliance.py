"""Which half of a pair the classifier goes by is found by shuffling one half at a time."""

import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UserError
from tdgan_jax.families.ifgan import tuple_reliance
from tdgan_jax.families.ifgan.tuple_reliance import tuple_accuracies
from tests.data.test_feeds import examples

NUM_IMAGES = 2 * tuple_reliance.BATCH_SIZE + 5


def read_off(images):
    """Logits of a classifier that answers with the image's value."""
    return np.eye(7)[np.asarray(images)[:, 0, 0, 0].astype(int)]


@pytest.mark.parametrize("half", ["input", "generated"])
def test_only_the_half_that_decides_matters(monkeypatch, half):
    some = examples(NUM_IMAGES, 2)
    images = [np.full((2, 2, 1), label, np.uint8) for label in some.expressions]
    monkeypatch.setattr(tuple_reliance, "_draw", lambda networks, parameters, images: images)
    monkeypatch.setattr(
        tuple_reliance,
        "_classify",
        lambda networks, parameters, first, second: read_off(first if half == "input" else second),
    )
    config = load_config("configs/ifgan_synthetic.py:tiny")
    found = tuple_accuracies(config, {"generator": {}}, some._replace(images=images))
    assert found["own_pairs"] == 1
    other = {"input": "generated", "generated": "input"}[half]
    assert found[f"{other}_shuffled"] == 1
    assert found[f"{half}_shuffled"] < 0.35  # a seventh by chance


def test_the_baseline_has_no_pairs():
    config = load_config("configs/ifgan_synthetic.py:tiny")
    with pytest.raises(UserError, match="baseline"):
        tuple_accuracies(config, {"classifier": {}}, examples(3, 2))

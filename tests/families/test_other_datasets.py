"""Additional datasets: images that are held out do not train, whatever they were encoded as."""

import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.data.loading import load_test_examples, training_transform
from tdgan_jax.families.family import Parts
from tdgan_jax.families.other_datasets import load_additional_datasets, load_whole_datasets


@pytest.mark.parametrize("part", ["validation", "test"])
def test_images_that_are_held_out_do_not_train(drawn_datasets, part):
    options = ("additional_training_datasets=synthetic_faces/64", f"directory={drawn_datasets}")
    config = load_config(
        "configs/classifier_synthetic.py:tiny", [f"data.{option}" for option in options]
    )
    config.data.expressions.dataset = "another"
    transform = training_transform(config)
    seen = load_test_examples(config, "synthetic_faces", "64", "train[:12]")
    another = load_test_examples(config, "synthetic_faces", "64", "test[:12]")
    noise = np.random.default_rng(0)
    noisy = [
        np.clip(image.astype(int) + noise.integers(-2, 3, image.shape), 0, 255).astype(np.uint8)
        for image in seen.images
    ]
    parts = Parts(fit=seen, validation=another, test=another)
    parts = parts._replace(**{part: seen._replace(images=noisy)})

    (whole,) = load_whole_datasets(config, "synthetic_faces/64", seen, transform)
    (kept,) = load_additional_datasets(config, parts, transform)
    assert set(whole.files) - set(kept.files) == set(seen.files)
    assert len(kept.files) == len(whole.files) - 12
    assert list(kept.files) == [file for file in whole.files if file not in set(seen.files)]

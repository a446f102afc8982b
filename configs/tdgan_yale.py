"""TDGAN on the Yale faces, face branch from the AT&T database: ten folds on a small open set.

    tdgan-jax prepare att_faces --source att_faces.zip
    tdgan-jax prepare yale_faces --source yalefaces.zip
    python launch.py --config configs/tdgan_yale.py

No paper evaluates on this set: 15 people with four labelled photographs each. It is for trying the
protocol on real faces. Variants: "" is a reduced width for CPUs (accuracy and time not yet
measured), "tiny" for tests.
"""

from ml_collections import ConfigDict

from configs.tdgan_family import (
    cross_validate_in_the_lab,
    full_size_or_tiny,
    learn_from_labels,
    reduce_for_cpu,
    tdgan_config,
)


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "" (reduced width) and "tiny"."""
    config = tdgan_config()
    config.name = "tdgan_yale"
    config.data.faces.dataset = "att_faces"
    config.data.expressions.dataset = "yale_faces"
    cross_validate_in_the_lab(config)
    config.data.validation_fraction = 0.2  # some three people
    reduce_for_cpu(config)
    learn_from_labels(config, discriminator_gap=2)
    config.training.epochs = 8  # of 25 steps: the faces are the longer list
    if variant == "tiny":
        config.data.faces.split = "train[:60]"
    return full_size_or_tiny(config, variant)

"""TDGAN on the drawn faces: needs no download and no licence form.

    python launch.py --config configs/tdgan_synthetic.py

Variants: "" is the demo, some minutes on two CPU cores; "long" reaches a useful recogniser within
an hour (0.827 ± 0.043 of the test images of unseen people, three seeds); "long_released" is the
same with the released settings (0.160); "visible" adds what lies beyond the paper for expressions
that a person sees on the generated face (about an hour; not yet measured); "tiny" for tests.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.fields import new_config
from tdgan_jax.families.tdgan.fields import (
    draw_visible_expressions,
    learn_from_labels,
    reduce_for_cpu,
    shrink_to_tiny,
)

VARIANTS = ("long", "long_released", "visible", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """Trains on drawn people, tests on others; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("tdgan")
    config.name = "tdgan_synthetic"
    config.data.faces.dataset = "synthetic_faces"
    config.data.faces.builder_config = "64"
    config.data.faces.split = "faces"
    config.data.expressions.dataset = "synthetic_faces"
    config.data.expressions.builder_config = "64"
    config.evaluation.yardsticks = True
    if variant == "tiny":
        config.data.faces.split = "faces[:40]"
        config.data.expressions.train_split = "train[:140]"
        config.data.expressions.test_split = "test[:45]"
        config.data.validation_fraction = 0.2
        return shrink_to_tiny(config)
    reduce_for_cpu(config)
    config.log.samples_every_steps = 84
    if variant.startswith("long"):
        config.name += f"_{variant}"
        config.training.epochs = 8
    else:
        config.model.num_inception_blocks = 2  # a third less to compile and to compute
        config.training.epochs = 1
    if variant == "visible":
        config.name += "_visible"
        config.training.classifier_epochs = 6
        config.training.epochs = 34
        config.log.samples_every_steps = 252
        draw_visible_expressions(config)
    elif variant != "long_released":
        # Discriminators that know nothing teach the generator nothing: update them at every step.
        learn_from_labels(config, discriminator_gap=1)
    return config

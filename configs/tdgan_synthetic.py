"""TDGAN on the drawn faces: needs no download and no licence form.

    python launch.py --config configs/tdgan_synthetic.py

Variants: "visible" adds what lies beyond the paper for expressions that a person sees on the
generated face (49 minutes on two CPU cores; 0.903 of the test images of unseen people, expression
and person of generated faces both right in 0.557, one seed); "" is the demo, the same with 48x48
pixels, one inception block and a tenth of the generator's steps, five minutes (0.700, one seed);
"long" has the paper's losses and labels that teach the encoder (an hour at most; 0.827 ± 0.043,
three seeds); "long_released" is that with the released settings (0.160); "tiny" for tests. All
figures: docs/results.md.
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
    if variant:
        config.name += f"_{variant}"
    if variant.startswith("long"):
        config.training.epochs = 8
        if variant == "long":
            # Discriminators that know nothing teach the generator nothing: update them always.
            learn_from_labels(config, discriminator_gap=1)
        return config
    draw_visible_expressions(config)
    config.training.classifier_epochs = 6
    config.training.epochs = 34
    config.model.num_inception_blocks = 2  # a third less to compile and to compute
    config.log.samples_every_steps = 252
    if not variant:
        config.model.image_size_px = 48
        config.model.num_inception_blocks = 1
        config.training.classifier_epochs = 5
        config.training.epochs = 8
        config.training.face_discriminator_gap = 1  # one program to compile instead of two
        config.loss.adversarial_expression_weight = 1.0
        config.log.samples_every_steps = 126
    return config

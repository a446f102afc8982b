"""The plain classifier on the drawn faces: what `tdgan_synthetic` is compared with.

    python launch.py --config configs/classifier_synthetic.py:long

Variants, each with the sizes and about the updates of TDGAN's variant of the same name: "" (250
steps), "long" (2,008 steps), "ablations" (1,004 steps at 32x32 pixels, beside `tdgan_ablations`),
"tiny" for tests. Not yet measured.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.classifier.fields import like_tdgan_on_a_cpu, shrink_to_tiny
from tdgan_jax.families.fields import new_config

VARIANTS = ("long", "ablations", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """Trains on drawn people, tests on others; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("classifier")
    config.name = "classifier_synthetic"
    config.data.expressions.dataset = "synthetic_faces"
    config.data.expressions.builder_config = "64"
    config.evaluation.yardsticks = True
    if variant == "tiny":
        config.data.expressions.train_split = "train[:140]"
        config.data.expressions.test_split = "test[:45]"
        config.data.validation_fraction = 0.2
        shrink_to_tiny(config)
        return config
    like_tdgan_on_a_cpu(config)
    config.training.epochs = 1
    config.model.num_inception_blocks = 2
    if variant:
        config.name += f"_{variant}"
    if variant == "long":
        config.training.epochs = 8
        config.model.num_inception_blocks = 4
    if variant == "ablations":
        config.model.image_size_px = 32
        config.model.width_multiplier = 1 / 8
        config.model.num_inception_blocks = 1
        config.training.epochs = 4
        config.evaluation.yardsticks = False
    return config

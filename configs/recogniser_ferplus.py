"""The recogniser that comes with the package: a residual network on FER+ votes.

    tdgan-jax prepare ferplus --config without_test --source ferplus.zip
    python launch.py --config configs/recogniser_ferplus.py

Variants: "" is the recipe of the shipped weights, "tiny" for tests. Not yet measured.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.classifier.fields import shrink_to_tiny
from tdgan_jax.families.fields import new_config

VARIANTS = ("tiny",)


def get_config(variant: str = "") -> ConfigDict:
    """Votes of ten raters as the target; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("classifier")
    config.name = "recogniser_ferplus"
    config.data.expressions.dataset = "ferplus"
    config.data.expressions.builder_config = "without_test"
    config.data.training_transform = "resize"
    config.data.targets = "votes"
    config.data.validation_fraction = 0.1
    config.data.augmentations = (
        ConfigDict({"kind": "flip"}),
        ConfigDict(
            {
                "kind": "affine",
                "rotation_degrees": 12.0,
                "translation": 0.08,
                "scale": (0.88, 1.12),
            }
        ),
        ConfigDict({"kind": "erasing", "probability": 0.4, "area": (0.02, 0.2), "fill": "mean"}),
    )
    config.data.mean = (0.507,)
    config.data.deviation = (0.255,)
    config.model.encoder = "resnet"
    config.model.image_size_px = 44
    config.model.resnet_depth = 10
    config.model.resnet_width = 40
    config.model.resnet_stem = "3x3"
    config.model.dropout_rate = 0.2
    config.training.epochs = 24
    config.training.batch_size = 64
    config.training.parameter_average_decay = 0.999
    config.optimizer.kind = "adamw"
    config.optimizer.weight_decay = 0.02
    config.optimizer.decays_vectors = False
    config.schedule.kind = "one_cycle"
    config.schedule.learning_rate = 4e-3
    config.log.every_steps = 50
    config.log.samples_every_steps = 400
    if variant == "tiny":
        shrink_to_tiny(config)
    return config

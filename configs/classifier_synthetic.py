"""The plain classifier on the drawn faces: what `tdgan_synthetic` is compared with.

    python launch.py --config configs/classifier_synthetic.py:long

Variants: "" (250 steps with two inception blocks); with the sizes and about the updates of TDGAN's
variants "long" (2,008 steps) and "ablations" (1,004 steps at 32x32 pixels, beside
`tdgan_ablations`); "tiny" for tests. "judge" is a residual network with augmentations for
`benchmarks/disentanglement.py`: what judges generated faces must itself be right (0.930 of the test
images, 6 minutes on two CPU cores, one seed). The others: not yet measured.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.classifier.fields import (
    like_tdgan_on_a_cpu,
    shrink_to_tiny,
    use_small_resnet,
)
from tdgan_jax.families.fields import new_config

VARIANTS = ("long", "ablations", "judge", "tiny")


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
    if variant == "judge":
        use_augmented_resnet(config)
    if variant == "ablations":
        config.model.image_size_px = 32
        config.model.width_multiplier = 1 / 8
        config.model.num_inception_blocks = 1
        config.training.epochs = 4
        config.evaluation.yardsticks = False
    return config


def use_augmented_resnet(config: ConfigDict) -> None:
    """A residual network with augmentations and a schedule, some minutes on two cores."""
    config.data.augmentations = (
        ConfigDict({"kind": "flip"}),
        ConfigDict(
            {"kind": "affine", "rotation_degrees": 8.0, "translation": 0.06, "scale": (0.9, 1.1)}
        ),
    )
    use_small_resnet(config)
    config.training.epochs = 16
    config.training.batch_size = 32
    config.schedule.learning_rate = 3e-3
    config.evaluation.selection = "last"
    config.evaluation.yardsticks = False

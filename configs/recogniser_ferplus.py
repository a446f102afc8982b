"""A recogniser of photographs: a residual network on the votes of FER+ and the labels of FER-2013.

    tdgan-jax prepare ferplus --config without_test --source ferplus.zip
    tdgan-jax prepare fer2013 --config without_private_test --source fer2013_raw.zip
    python launch.py --config configs/recogniser_ferplus.py
    python launch.py --config configs/recogniser_ferplus.py:votes

Both sets hold the same photographs: ten raters call most faces neutral or happy, the older labels
name the rare expressions. A photograph trains twice, with its votes and with its label, so that the
network learns the mean of both. What is held back of FER+ is held back of FER-2013 too. The last
epoch is taken, whose weights are averages. Variants: "" both kinds of labels; from the weights of
that run "votes" FER+ alone and "labels" FER-2013 alone; "tiny" for tests.

Accuracy on FER+'s public test (majority, eight classes): 0.824 after the 28 epochs of "", 85
minutes on two cores with other work beside it, and 0.851 after the 5 of "votes"; on the public test
of FER-2013 0.631, 0.595, and 0.648 after "labels". docs/model_card.md has all figures.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.classifier.fields import shrink_to_tiny
from tdgan_jax.families.fields import new_config

VARIANTS = ("votes", "labels", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """Votes of ten raters and one older label; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("classifier")
    config.name = "recogniser_ferplus"
    config.data.expressions.dataset = "ferplus"
    config.data.expressions.builder_config = "without_test"
    config.data.training_transform = "resize"
    config.data.targets = "votes"
    config.data.validation_fraction = 0.05
    config.evaluation.selection = "last"
    config.data.additional_training_datasets = "fer2013/without_private_test"
    config.data.augmentations = (
        ConfigDict({"kind": "flip"}),
        ConfigDict(
            {
                "kind": "affine",
                "rotation_degrees": 12.0,
                "translation": 0.08,
                "scale": (0.85, 1.15),
            }
        ),
        ConfigDict({"kind": "colour_jitter", "brightness": 0.3, "contrast": 0.3}),
        ConfigDict({"kind": "erasing", "probability": 0.4, "area": (0.02, 0.2), "fill": "mean"}),
        ConfigDict({"kind": "mixup", "alpha": 0.2}),
    )
    config.data.mean = (0.507,)
    config.data.deviation = (0.255,)
    config.model.encoder = "resnet"
    config.model.image_size_px = 44
    config.model.resnet_depth = 18
    config.model.resnet_width = 32
    config.model.resnet_stem = "3x3"
    config.model.squeeze_reduction = 8
    config.model.dropout_rate = 0.3
    config.training.epochs = 28
    config.training.batch_size = 64
    config.training.parameter_average_decay = 0.999
    config.optimizer.kind = "adamw"
    config.optimizer.weight_decay = 0.05
    config.optimizer.decays_vectors = False
    config.schedule.kind = "one_cycle"
    config.schedule.learning_rate = 4e-3
    config.log.every_steps = 50
    config.log.samples_every_steps = 400
    if variant in ("votes", "labels"):
        config.name += f"_{variant}"
        config.training.initial_model = "runs/recogniser_ferplus/seed_0"
        config.training.epochs = 5
        config.schedule.learning_rate = 1e-3
        config.data.additional_training_datasets = ""
    if variant == "labels":
        config.data.expressions.dataset = "fer2013"
        config.data.expressions.builder_config = "without_private_test"
        config.data.targets = "label"
    if variant == "tiny":
        shrink_to_tiny(config)
    return config

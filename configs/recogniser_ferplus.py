"""A recogniser of photographs: a residual network on the votes of FER+ and the labels of FER-2013.

    tdgan-jax prepare ferplus --config without_test --source ferplus.zip
    tdgan-jax prepare fer2013 --config without_private_test --source fer2013_raw.zip
    python launch.py --config configs/recogniser_ferplus.py
    python launch.py --config configs/recogniser_ferplus.py:larger
    python launch.py --config configs/recogniser_ferplus.py:votes

Both sets hold the same photographs: ten raters call most faces neutral or happy, the older labels
name the rare expressions. A photograph trains twice, with its votes and with its label, so that the
network learns the mean of both. What is held back of FER+ is held back of FER-2013 too. The last
epoch is taken, whose weights are averages. Variants: "" both kinds of labels at 44x44 pixels;
"larger" goes on from that run at 64x64 pixels, with less regularisation; from the weights of
"larger" "votes" goes on with FER+ alone and "labels" with FER-2013 alone; "tiny" for tests.

Accuracy on FER+'s public test (majority, eight classes): 0.824 after the 28 epochs of "", 85
minutes on two cores with other work beside it, 0.839 after the 18 of "larger", 86 minutes, and
0.877 after the 3 of "votes", 7 minutes; on the public test of FER-2013 0.631, 0.649, 0.601, and
0.670 after "labels". docs/model_card.md has all figures.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.classifier.fields import like_the_shipped_recogniser, shrink_to_tiny
from tdgan_jax.families.fields import new_config

VARIANTS = ("larger", "votes", "labels", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """Votes of ten raters and one older label; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("classifier")
    config.name = "recogniser_ferplus"
    config.data.expressions.dataset = "ferplus"
    config.data.expressions.builder_config = "without_test"
    config.data.targets = "votes"
    config.data.validation_fraction = 0.05
    config.evaluation.selection = "last"
    like_the_shipped_recogniser(config)
    config.training.batch_size = 64
    config.training.parameter_average_decay = 0.999
    config.log.every_steps = 50
    config.log.samples_every_steps = 400
    if variant in ("", "larger", "tiny"):
        config.data.additional_training_datasets = "fer2013/without_private_test"
    if variant in ("", "tiny"):
        config.model.image_size_px = 44
        config.model.dropout_rate = 0.3
        config.data.augmentations += (ConfigDict({"kind": "mixup", "alpha": 0.2}),)
        config.training.epochs = 28
        config.schedule.learning_rate = 4e-3
    if variant == "tiny":
        shrink_to_tiny(config)
        return config
    if variant:
        config.name += f"_{variant}"
    if variant == "larger":
        config.training.initial_model = "runs/recogniser_ferplus/seed_0"
        config.training.epochs = 18
        config.schedule.learning_rate = 3e-3
    if variant in ("votes", "labels"):
        config.training.initial_model = "runs/recogniser_ferplus_larger/seed_0"
        config.training.epochs = 3
        config.schedule.learning_rate = 1e-3
    if variant == "labels":
        config.data.expressions.dataset = "fer2013"
        config.data.expressions.builder_config = "without_private_test"
        config.data.targets = "label"
    return config

"""The plain classifier on FER-2013: what `tdgan_fer2013` is compared with.

    tdgan-jax prepare fer2013 --config without_private_test --source fer2013_raw.zip
    python launch.py --config configs/classifier_fer2013.py:cpu

Variants, with the sizes and about the updates of TDGAN's variant of the same name: "" is the full
size for an accelerator, "cpu" a reduced width for two cores, "tiny" for tests. Figures of before
were measured on a filtered copy of the set and are withdrawn. Not yet measured on the owner's
photographs.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.classifier.fields import like_tdgan_on_a_cpu, shrink_to_tiny
from tdgan_jax.families.fields import new_config

VARIANTS = ("cpu", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """The owner's training photographs and public test; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("classifier")
    config.name = "classifier_fer2013"
    config.data.expressions.dataset = "fer2013"
    config.data.expressions.builder_config = "without_private_test"
    if variant == "tiny":
        shrink_to_tiny(config)
    if variant == "cpu":
        config.name += "_cpu"
        like_tdgan_on_a_cpu(config)
        config.training.epochs = 3
        config.log.every_steps = 20
    return config

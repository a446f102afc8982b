"""TDGAN on FER-2013, faces from the AT&T database: real photographs, openly available.

    tdgan-jax prepare att_faces --source att_faces.zip
    tdgan-jax prepare fer2013 --config without_private_test --source fer2013_raw.zip
    python launch.py --config configs/tdgan_fer2013.py:cpu

Variants: "" is the full size with the released settings, for an accelerator; "cpu" a reduced width
for two cores, "cpu_released" the same size with the released settings; "around_a_classifier" learns
around the recogniser of a classifier's run (`training.classifier_run`), which stays as it
is; "tiny" for tests. Figures of before were measured on a filtered copy of the set and are
withdrawn. Not yet measured on the owner's photographs.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.fields import new_config
from tdgan_jax.families.tdgan.fields import (
    learn_from_labels,
    reduce_for_cpu,
    shrink_to_tiny,
)

VARIANTS = ("cpu", "cpu_released", "around_a_classifier", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """The owner's training photographs and public test; see the module for the variants."""
    config = new_config("tdgan")
    config.name = "tdgan_fer2013"
    config.data.faces.dataset = "att_faces"
    config.data.expressions.dataset = "fer2013"
    config.data.expressions.builder_config = "without_private_test"
    if variant == "tiny":
        return shrink_to_tiny(config)
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    if variant:
        config.name += f"_{variant}"
        reduce_for_cpu(config)
        config.training.epochs = 5
        config.log.every_steps = 20
    if variant == "cpu":
        learn_from_labels(config, discriminator_gap=2)
    if variant == "around_a_classifier":
        _around_a_recogniser(config)
    return config


def _around_a_recogniser(config: ConfigDict) -> None:
    """Face branch and decoder learn; the classifier's run gives the rest, which stays as it is."""
    learn_from_labels(config, discriminator_gap=2)
    config.model.dropout_rate = 0.2
    config.training.classifier_run = "runs/classifier_fer2013_cpu/seed_0"
    config.training.epochs = 4
    config.loss.label_gradient_weight = 0.0
    for network in ("expression_encoder", "expression_head", "expression_discriminator"):
        config.learning_rate[network] = 0.0
    config.evaluation.selection = "last"  # every epoch recognises alike

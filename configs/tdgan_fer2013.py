"""TDGAN on FER-2013, faces from the AT&T database: real photographs, openly available.

    tdgan-jax prepare att_faces --source att_faces.zip
    tdgan-jax prepare fer2013 --config subset --source fer2013.zip
    python launch.py --config configs/tdgan_fer2013.py:cpu

Variants: "" is the full size with the released settings, for an accelerator (not yet measured);
"cpu" a reduced width for two cores (0.472 on the test split, an hour on one core, measured
once); "cpu_released" the same size with the released settings (0.251, always "happiness" 0.253);
"pretrained" the generator of the weights that come with the package: half the width, around the
recogniser of `classifier_fer2013.py:pretrained`, which stays as it is (0.567, 65 minutes on one
core); "tiny" for tests.
"""

from ml_collections import ConfigDict

from configs.tdgan_family import learn_from_labels, reduce_for_cpu, shrink_to_tiny, tdgan_config
from tdgan_jax.configuration import unknown_variant

VARIANTS = ("cpu", "cpu_released", "pretrained", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """FER-2013's subset of 12,271 and 3,068 photographs; see the module for the variants."""
    config = tdgan_config()
    config.name = "tdgan_fer2013"
    config.data.faces.dataset = "att_faces"
    config.data.expressions.dataset = "fer2013"
    config.data.expressions.builder_config = "subset"
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
    if variant == "pretrained":
        _around_a_recogniser(config)
    return config


def _around_a_recogniser(config: ConfigDict) -> None:
    """Face branch and decoder learn; the classifier's run gives the rest, which stays as it is."""
    learn_from_labels(config, discriminator_gap=2)
    config.model.width_multiplier = 0.5
    config.model.dropout_rate = 0.2
    config.training.classifier_run = "runs/classifier_fer2013_pretrained/seed_0"
    config.training.epochs = 4
    config.loss.label_gradient_weight = 0.0
    for network in ("expression_encoder", "expression_head", "expression_discriminator"):
        config.learning_rate[network] = 0.0
    config.evaluation.selection = "last"  # every epoch recognises alike

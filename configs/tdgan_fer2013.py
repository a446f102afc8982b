"""TDGAN on FER-2013, faces from the AT&T database: real photographs, openly available.

    tdgan-jax prepare att_faces --source att_faces.zip
    tdgan-jax prepare fer2013 --config subset --source fer2013.zip
    python launch.py --config configs/tdgan_fer2013.py:cpu

Variants: "" is the full size with the released settings, for an accelerator (not yet measured);
"cpu" a reduced width for two cores (0.449 on the test split after 38 minutes on one core, measured
once); "cpu_released" the same size with the released settings (not yet measured);
"tiny" for tests.
"""

from ml_collections import ConfigDict

from configs.tdgan_family import shrink_to_tiny, tdgan_config
from tdgan_jax.configuration import unknown_variant

VARIANTS = ("cpu", "cpu_released", "tiny")


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
        _reduce(config)
    if variant == "cpu":
        _learn_from_labels(config)
    return config


def _reduce(config: ConfigDict) -> None:
    config.model.image_size_px = 64
    config.model.width_multiplier = 0.25
    config.model.noise_channels = 64
    config.training.epochs = 3
    config.training.batch_size = 16
    config.log.every_steps = 20


def _learn_from_labels(config: ConfigDict) -> None:
    config.loss.label_gradient_weight = 1.0
    config.model.dropout_rate = 0.1
    config.training.face_discriminator_gap = 2
    config.training.expression_discriminator_gap = 2
    for network in ("face_encoder", "expression_encoder", "expression_head", "decoder"):
        config.learning_rate[network] = 5e-4
    config.learning_rate.expression_discriminator = 5e-4

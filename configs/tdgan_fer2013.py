"""TDGAN on FER-2013, faces from the AT&T database: real photographs, openly available.

    tdgan-jax prepare att_faces --source att_faces.zip
    tdgan-jax prepare fer2013 --config subset --source fer2013.zip
    python launch.py --config configs/tdgan_fer2013.py:cpu

Variants: "" is the full size with the released settings, for an accelerator (not yet measured);
"cpu" a reduced width for two cores (0.472 on the test split, an hour on one core, measured
once); "cpu_released" the same size with the released settings (0.251, always "happiness" 0.253);
"tiny" for tests.
"""

from ml_collections import ConfigDict

from configs.tdgan_family import learn_from_labels, reduce_for_cpu, shrink_to_tiny, tdgan_config
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
        reduce_for_cpu(config)
        config.training.epochs = 5
        config.log.every_steps = 20
    if variant == "cpu":
        learn_from_labels(config, discriminator_gap=2)
    return config

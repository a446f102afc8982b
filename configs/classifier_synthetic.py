"""The plain classifier on the drawn faces: what `tdgan_synthetic` is compared with.

    python launch.py --config configs/classifier_synthetic.py:long

Variants, each with the data, updates, augmentation and selection of TDGAN's variant of the same
name: "" (252 steps), "long" (2,016 steps), "tiny" for tests. Not yet measured.
"""

from ml_collections import ConfigDict

from configs import tdgan_synthetic
from configs.classifier_family import classifier_of
from tdgan_jax.configuration import unknown_variant

VARIANTS = ("long", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """Trains on drawn people, tests on others; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    return classifier_of(tdgan_synthetic.get_config(variant))

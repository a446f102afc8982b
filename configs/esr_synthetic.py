"""ESR on the drawn faces: three branches, a try on two CPU cores in about ten minutes.

    python launch.py --config configs/esr_synthetic.py

With the diversity loss that has a gradient from the first step on; variants: "plain" the first ESR,
without attention and diversity loss, "attention" without the loss, "tiny" for tests. Test accuracy
of the ensemble 0.843, of its branches 0.804, 0.817 and 0.856, one seed; the variants are not yet
measured.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.esr.fields import (
    apply_variant,
    jitter_flip_and_affine,
    reduce_for_cpu,
    set_stages,
)
from tdgan_jax.families.fields import new_config


def get_config(variant: str = "") -> ConfigDict:
    """Trains on drawn people, tests on others; see the module for the variants."""
    config = new_config("esr")
    config.name = "esr_synthetic"
    config.data.expressions.dataset = "synthetic_faces"
    config.data.expressions.builder_config = "64"
    config.loss.diversity = "acting"
    jitter_flip_and_affine(config)
    reduce_for_cpu(config)
    set_stages(config, first=10, later=5)
    config.training.batch_size = 16
    if variant == "tiny":
        config.data.expressions.train_split = "train[:140]"
        config.data.expressions.test_split = "test[:45]"
        config.data.validation_fraction = 0.2
    return apply_variant(config, variant)

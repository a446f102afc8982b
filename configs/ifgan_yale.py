"""IF-GAN on the Yale faces: ten folds on a small open set.

    tdgan-jax prepare yale_faces --source yalefaces.zip
    python launch.py --config configs/ifgan_yale.py

No paper evaluates on this set: 15 people with four labelled photographs each. It is for trying the
protocol on real faces: average faces of each fold's own training subjects. Variants: "" is a
reduced width for CPUs, "baseline" and "without_attention" are the paper's ablations of it, "tiny"
is for tests. Accuracy and time: not yet measured.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.fields import new_config
from tdgan_jax.families.ifgan.fields import (
    apply_variant,
    cross_validate_posed,
    reduce_for_cpu,
)


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "" (reduced width), "baseline", "without_attention" and "tiny"."""
    config = new_config("ifgan")
    config.name = "ifgan_yale"
    config.data.expressions.dataset = "yale_faces"
    cross_validate_posed(config)
    reduce_for_cpu(config)
    config.training.epochs = 60  # of three steps
    config.log.samples_every_steps = 200
    return apply_variant(config, variant)

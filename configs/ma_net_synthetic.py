"""MA-Net on the drawn faces: a try on two CPU cores in about seven minutes.

    python launch.py --config configs/ma_net_synthetic.py

With the diversity loss that has a gradient from the first step on; variants: "plain" without one,
"tiny" for tests. Test accuracy 0.387 after 386 s, one seed: from scratch on a few thousand drawn
faces it has only begun to learn (the papers begin with weights of MS-Celeb-1M).
"""

from ml_collections import ConfigDict

from tdgan_jax.families.fields import new_config
from tdgan_jax.families.ma_net.fields import apply_variant, jitter_flip_and_affine, reduce_for_cpu


def get_config(variant: str = "") -> ConfigDict:
    """Trains on drawn people, tests on others; see the module for the variants."""
    config = new_config("ma_net")
    config.name = "ma_net_synthetic"
    config.data.expressions.dataset = "synthetic_faces"
    config.data.expressions.builder_config = "64"
    config.loss.diversity = "acting"
    jitter_flip_and_affine(config)
    reduce_for_cpu(config)
    config.training.epochs = 12
    config.training.batch_size = 16
    config.schedule.decay_epochs = 8
    if variant == "tiny":
        config.data.expressions.train_split = "train[:140]"
        config.data.expressions.test_split = "test[:45]"
        config.data.validation_fraction = 0.2
    return apply_variant(config, variant)

"""IF-GAN on the drawn faces: needs no download and no licence form.

    python launch.py --config configs/ifgan_synthetic.py

Trains on drawn people, tests on others. Variants: "" is the demo for two CPU cores (ResNet-18 of a
quarter of the width, small U-Net, 48x48 pixels), "baseline" and "without_attention" are the paper's
ablations of it, "tiny" is for tests. Test accuracy on unseen people, three seeds: 0.633 ± 0.014,
"baseline" 0.649 ± 0.014, "without_attention" 0.644 ± 0.053; five minutes on two cores.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.fields import new_config
from tdgan_jax.families.ifgan.fields import apply_variant, reduce_for_cpu


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "", "baseline", "without_attention" and "tiny"."""
    config = new_config("ifgan")
    config.name = "ifgan_synthetic"
    config.data.expressions.dataset = "synthetic_faces"
    config.data.expressions.builder_config = "64"
    reduce_for_cpu(config)
    config.training.epochs = 10
    # The drawn faces are not aligned: where one was cut out cannot be told from it.
    config.data.target_crop = "centre"
    config.optimizer.learning_rate_decay_epochs = 1
    config.log.samples_every_steps = 200
    if variant == "tiny":
        config.data.expressions.train_split = "train[:140]"
        config.data.expressions.test_split = "test[:45]"
        config.data.validation_fraction = 0.2
    return apply_variant(config, variant)

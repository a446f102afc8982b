"""The plain classifier on the Yale faces: what `tdgan_yale` is compared with.

    tdgan-jax prepare yale_faces --source yalefaces.zip
    python launch.py --config configs/classifier_yale.py

Variants, each with the sizes and about the updates of TDGAN's variant of the same name: "" (ten
folds), "probes" (one division, six people left to the probes of disentanglement), "tiny" for tests.
Not yet measured.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.classifier.fields import like_tdgan_on_a_cpu, shrink_to_tiny
from tdgan_jax.families.fields import new_config
from tdgan_jax.families.loop_fields import ten_folds, with_people_to_probe

VARIANTS = ("probes", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "" (reduced width), "probes" and "tiny"."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("classifier")
    config.name = "classifier_yale"
    config.data.expressions.dataset = "yale_faces"
    config.data.test_transform = "centre_crop"
    config.data.validation_fraction = 0.2  # some three people
    ten_folds(config)
    like_tdgan_on_a_cpu(config)
    config.data.pad_last_batch = True
    config.training.epochs = 80  # of three steps
    if variant == "probes":
        config.name += "_probes"
        with_people_to_probe(config)
        config.training.epochs = 230
    if variant == "tiny":
        shrink_to_tiny(config)
    return config

"""TDGAN on the Yale faces, face branch from the AT&T database: ten folds on a small open set.

    tdgan-jax prepare att_faces --source att_faces.zip
    tdgan-jax prepare yale_faces --source yalefaces.zip
    python launch.py --config configs/tdgan_yale.py

No paper evaluates on this set: 15 people with four labelled photographs each. It is for trying the
protocol on real faces. Variants: "" is a reduced width for CPUs (20 minutes on two cores, 0.500 and
0.467 of the 60 photographs right in two runs, chance 0.250); "probes" leaves six people to the
probes of disentanglement, which need several unseen people with several expressions each, and
trains on the nine others to the last epoch (eleven minutes on one core, 0.569 ± 0.087, three
seeds); "tiny" for tests.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import unknown_variant
from tdgan_jax.families.fields import new_config
from tdgan_jax.families.loop_fields import with_people_to_probe
from tdgan_jax.families.tdgan.fields import (
    cross_validate_in_the_lab,
    full_size_or_tiny,
    learn_from_labels,
    reduce_for_cpu,
)

VARIANTS = ("probes", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """Reduced width, ten folds or two parts; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = new_config("tdgan")
    config.name = "tdgan_yale"
    config.data.faces.dataset = "att_faces"
    config.data.expressions.dataset = "yale_faces"
    cross_validate_in_the_lab(config)
    config.data.validation_fraction = 0.2  # some three people
    reduce_for_cpu(config)
    learn_from_labels(config, discriminator_gap=2)
    config.training.epochs = 8  # of 25 steps: the faces are the longer list
    if variant == "probes":
        return _with_people_to_probe(config)
    if variant == "tiny":
        config.data.faces.split = "train[:60]"
    return full_size_or_tiny(config, variant)


def _with_people_to_probe(config: ConfigDict) -> ConfigDict:
    """One division instead of ten: six people to probe, nine to learn from."""
    config.name += "_probes"
    with_people_to_probe(config)
    config.training.face_discriminator_gap = 1
    config.training.expression_discriminator_gap = 1
    config.training.epochs = 28  # 700 steps
    return config

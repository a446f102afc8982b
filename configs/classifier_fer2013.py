"""The plain classifier on FER-2013: what `tdgan_fer2013` is compared with.

    tdgan-jax prepare att_faces --source att_faces.zip
    tdgan-jax prepare fer2013 --config subset --source fer2013.zip
    python launch.py --config configs/classifier_fer2013.py:cpu

The AT&T faces are loaded, so that the batches are TDGAN's, and not looked at. Variants, each with
the data, updates, augmentation and selection of TDGAN's variant of the same name: "" is the full
size for an accelerator (not yet measured), "cpu" a reduced width for two cores (0.477, six minutes
on one), "tiny" for tests; and "pretrained", the recogniser that comes with the package: half the
width, 24 epochs, averaged weights, smoothed labels (0.567 and 0.564 with seeds 0 and 1, half an
hour on one core).
"""

from ml_collections import ConfigDict

from configs import tdgan_fer2013
from configs.classifier_family import classifier_of
from tdgan_jax.configuration import unknown_variant

VARIANTS = ("cpu", "pretrained", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """FER-2013's subset of 12,271 and 3,068 photographs; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    config = classifier_of(tdgan_fer2013.get_config(variant))
    if variant == "pretrained":
        for network in config.learning_rate:
            config.learning_rate[network] = 5e-4
        config.training.epochs = 24
        config.training.parameter_average_decay = 0.999
        config.loss.label_smoothing = 0.1
        config.evaluation.selection = "validation"
    return config

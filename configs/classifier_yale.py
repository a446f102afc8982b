"""The plain classifier on the Yale faces: what `tdgan_yale` is compared with.

    tdgan-jax prepare att_faces --source att_faces.zip
    tdgan-jax prepare yale_faces --source yalefaces.zip
    python launch.py --config configs/classifier_yale.py

The AT&T faces are loaded, so that the batches are TDGAN's, and not looked at. Variants, each with
the data, updates, augmentation and selection of TDGAN's variant of the same name: "" (ten folds),
"probes" (one division, six people left to the probes of disentanglement; one to two minutes on one
core, 0.694 ± 0.048, three seeds, chance 0.250), "tiny" for tests. The ten folds: not yet measured.
"""

from ml_collections import ConfigDict

from configs import tdgan_yale
from configs.classifier_family import classifier_of


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "" (reduced width), "probes" and "tiny"."""
    return classifier_of(tdgan_yale.get_config(variant))

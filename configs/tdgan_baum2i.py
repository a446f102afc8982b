"""TDGAN on BAUM-2i with the first 20 identities of CASIA-WebFace (Xie, Hu, Chen 2021).

    tdgan-jax prepare casia_webface --source PATH
    tdgan-jax prepare baum2i --source PATH
    python launch.py --config configs/tdgan_baum2i.py

998 peak frames of seven expressions from films and television.
Paper: 65.76 % (expression module, mean of ten subject-independent folds, epoch chosen on the test
fold). Accuracy and time here: not yet measured. The epoch is chosen on a part of the training
subjects; the released program's habit is
`--config.data.validation=none --config.evaluation.selection=test`.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.fields import new_config
from tdgan_jax.families.tdgan.fields import (
    cross_validate_in_the_lab,
    full_size_or_tiny,
)


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "" (the paper's) and "tiny"."""
    config = new_config("tdgan")
    config.name = "tdgan_baum2i"
    config.data.faces.dataset = "casia_webface"
    config.data.expressions.dataset = "baum2i"
    cross_validate_in_the_lab(config)
    return full_size_or_tiny(config, variant)

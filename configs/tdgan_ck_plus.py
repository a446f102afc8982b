"""TDGAN on CK+ with the first 20 identities of CASIA-WebFace (Xie, Hu, Chen 2021).

    tdgan-jax prepare casia_webface --source PATH
    tdgan-jax prepare ck_plus --source PATH
    python launch.py --config configs/tdgan_ck_plus.py

1,236 images: the last three frames of the sequences of the six basic expressions, and their first
frames as neutral.
Paper: 97.53 % (expression module, mean of ten subject-independent folds, epoch chosen on the test
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
    config.name = "tdgan_ck_plus"
    config.data.faces.dataset = "casia_webface"
    config.data.expressions.dataset = "ck_plus"
    config.data.expressions.builder_config = "with_neutral"
    cross_validate_in_the_lab(config)
    return full_size_or_tiny(config, variant)

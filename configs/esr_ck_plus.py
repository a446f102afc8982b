"""The small gray ensemble of four branches on CK+ (Siqueira, Magg and Wermter, AAAI 2020).

    tdgan-jax prepare ck_plus --source PATH
    python launch.py --config configs/esr_ck_plus.py

Ten folds by subject: one tests, the next one validates. 2,000 epochs of the base and one branch,
then 1,000 for each branch more, while what was before rests. The last three frames of a sequence,
and its first one as neutral; without contempt, which the paper has. All branches learn from the
same eight folds; in its program each leaves out one of four.
Paper: 89.4 % (a deviation of 2.2 over the folds). Accuracy and time here: not yet measured.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.esr.fields import learn_ck_plus, shrink_to_tiny
from tdgan_jax.families.fields import new_config
from tdgan_jax.families.image_fields import changed_by_variant


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "" (the paper's) and "tiny"."""
    config = new_config("esr")
    config.name = "esr_ck_plus"
    config.data.expressions.dataset = "ck_plus"
    learn_ck_plus(config)
    return changed_by_variant(config, variant, {"tiny": shrink_to_tiny})

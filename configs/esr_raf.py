"""ESR-9 with diversified features on RAF-DB (Heidari and Iosifidis 2022, arXiv:2210.09381).

    tdgan-jax prepare raf_db --source PATH
    python launch.py --config configs/esr_raf.py \
        --config.training.start_weights=runs/esr_affectnet/seed_0

Begins with an ensemble that has learned on AffectNet, see `esr_ferplus`, whose last layers are
replaced. It has seen colours in the order blue, green, red, without a mean taken away; here they
are red, green, blue and normalised, as in the program. 12,271 images train, a tenth of them chooses
the epoch; 3,068 test.
Paper: 89.99 %, the best of its models, chosen on the test images. Accuracy and time here: not yet
measured.

Variants: "plain" without attention and diversity loss; "attention" without the loss; "acting" with
the diversity loss that has a gradient from the first step on; "tiny" for tests.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.esr.fields import apply_variant, learn_raf
from tdgan_jax.families.fields import new_config


def get_config(variant: str = "") -> ConfigDict:
    """The paper's settings; see the module for the variants."""
    config = new_config("esr")
    config.name = "esr_raf"
    config.data.expressions.dataset = "raf_db"
    learn_raf(config)
    return apply_variant(config, variant)

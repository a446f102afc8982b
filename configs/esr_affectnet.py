"""ESR-9 with diversified features on AffectNet (Heidari and Iosifidis 2022, arXiv:2210.09381).

    tdgan-jax prepare affectnet --config 8 --source PATH
    python launch.py --config configs/esr_affectnet.py

Nine stages: 50 epochs of the base and one branch, then 20 for each branch more. At most 5,000
images of each of eight classes train, drawn anew in each stage; a tenth of the training images
chooses the epoch; the owner's validation images test.
Paper: 60.02 %, the best of its models. ESR-9 alone (Siqueira, Magg and Wermter, AAAI 2020): 59.3 %,
no branch above 58.0 %. Accuracy and time here: not yet measured.

Variants: "plain" the first ESR, without attention and diversity loss; "attention" without the loss;
"acting" with the diversity loss that has a gradient from the first step on; "affect" valence and
arousal for an ensemble of "plain", given as `training.start_weights` (the first ESR: RMSE 0.36 and
0.33); "tiny" for tests.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.esr.fields import apply_variant, learn_affect, learn_affectnet
from tdgan_jax.families.fields import new_config


def get_config(variant: str = "") -> ConfigDict:
    """The paper's settings; see the module for the variants."""
    config = new_config("esr")
    config.name = "esr_affectnet"
    config.data.expressions.dataset = "affectnet"
    config.data.expressions.builder_config = "8"
    learn_affectnet(config)
    return apply_variant(config, variant, affect=learn_affect)

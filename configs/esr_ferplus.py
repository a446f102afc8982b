"""ESR-9 with diversified features on FER+ (Heidari and Iosifidis 2022, arXiv:2210.09381).

    tdgan-jax prepare ferplus --config without_test --source ferplus.zip
    python launch.py --config configs/esr_ferplus.py \
        --config.training.start_weights=runs/esr_affectnet/seed_0

Begins with an ensemble that has learned on AffectNet: a run of `esr_affectnet`, or the files
`Net-Base-Shared_Representations.pt`, `Net-Branch_1.pt`, ... of another program. At most 5,000
images a class of FER2013Train, those with a majority of the votes, train; FER2013Valid tests, as in
the program. Paper: 89.34 %, the best of its models. ESR-9 alone (Siqueira, Magg and Wermter, AAAI
2020): 87.15 % on FER2013Test. Here: `cpu`
0.777 plain, 0.765 with attention, 0.777 with the acting loss beside it, 0.767 with the released one
(FER2013Valid, one seed, 8 to 15 minutes each).

Variants: "plain" the first ESR, without attention and diversity loss; "attention" without the loss;
"acting" with the diversity loss that has a gradient from the first step on; "cpu" three branches on
48x48 gray pixels, a quarter of the width, from scratch, for two cores; "tiny" for tests. The kinds
at the size for two cores:

    python launch.py --config configs/esr_ferplus.py:cpu --config.loss.diversity=none \
        --config.model.has_attention=false
"""

from ml_collections import ConfigDict

from tdgan_jax.families.esr.fields import apply_variant, learn_ferplus, reduce_for_cpu
from tdgan_jax.families.fields import new_config


def get_config(variant: str = "") -> ConfigDict:
    """The paper's settings; see the module for the variants."""
    config = new_config("esr")
    config.name = "esr_ferplus"
    config.data.expressions.dataset = "ferplus"
    config.data.expressions.builder_config = "without_test"
    learn_ferplus(config)
    return apply_variant(config, variant, cpu=reduce_for_cpu)

"""MA-Net with diversified features on FER+ (Heidari and Iosifidis 2022, arXiv:2210.09381).

    tdgan-jax prepare ferplus --config without_test --source ferplus.zip
    python launch.py --config configs/ma_net_ferplus.py \
        --config.training.start_weights=Pretrained_on_MSCeleb.pth.tar

At most 5,000 images a class of FER2013Train, those with a majority of the votes, train;
FER2013Valid tests, as in the program. Paper: 89.34 %, the best of its models. Here:
`cpu` 0.608 without the loss, 0.619 with the acting and 0.618 with the released one (FER2013Valid,
one seed, 20 minutes each beside other work).

Variants: "plain" without the diversity loss, "acting" with the one that has a gradient from the
first step on; "cpu" 48x48 gray pixels and a quarter of the width from scratch, for two cores;
"tiny" for tests. The kinds at the size for two cores:

    python launch.py --config configs/ma_net_ferplus.py:cpu --config.loss.diversity=none
"""

from ml_collections import ConfigDict

from tdgan_jax.families.fields import new_config
from tdgan_jax.families.ma_net.fields import apply_variant, learn_ferplus, reduce_for_cpu


def get_config(variant: str = "") -> ConfigDict:
    """The paper's settings; see the module for the variants."""
    config = new_config("ma_net")
    config.name = "ma_net_ferplus"
    config.data.expressions.dataset = "ferplus"
    config.data.expressions.builder_config = "without_test"
    learn_ferplus(config)
    return apply_variant(config, variant, cpu=reduce_for_cpu)

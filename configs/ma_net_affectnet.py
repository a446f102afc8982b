"""MA-Net with diversified features on AffectNet (Heidari and Iosifidis 2022, arXiv:2210.09381).

    tdgan-jax prepare affectnet --config 8 --source PATH
    python launch.py --config configs/ma_net_affectnet.py \
        --config.training.start_weights=Pretrained_on_MSCeleb.pth.tar

At most 5,000 images of each of eight classes train, a tenth of them chooses the epoch; the owner's
validation images test. Paper: 60.02 %, the best of its models. MA-Net alone (Zhao, Liu and Wang,
TIP 2021): 60.29 % of eight classes, 64.53 % of seven. Accuracy and time here: not yet measured.

Variants: "plain" and "plain_seven" as MA-Net's own program, all images drawn so that classes are as
frequent, without the diversity loss, eight and seven classes; "acting" with the diversity loss that
has a gradient from the first step on; "tiny" for tests.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import Config
from tdgan_jax.families.fields import new_config
from tdgan_jax.families.ma_net.fields import apply_variant, draw_balanced, learn_affectnet


def _seven_classes(config: Config) -> None:
    draw_balanced(config)
    config.data.expressions.builder_config = "7"


def get_config(variant: str = "") -> ConfigDict:
    """The paper's settings; see the module for the variants."""
    config = new_config("ma_net")
    config.name = "ma_net_affectnet"
    config.data.expressions.dataset = "affectnet"
    config.data.expressions.builder_config = "8"
    learn_affectnet(config)
    return apply_variant(config, variant, plain=draw_balanced, plain_seven=_seven_classes)

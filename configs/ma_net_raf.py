"""MA-Net with diversified features on RAF-DB (Heidari and Iosifidis 2022, arXiv:2210.09381).

    tdgan-jax prepare raf_db --source PATH
    python launch.py --config configs/ma_net_raf.py \
        --config.training.start_weights=Pretrained_on_MSCeleb.pth.tar

12,271 images train, a tenth of them chooses the epoch; 3,068 test. The start weights are those of
MA-Net's authors, learned on MS-Celeb-1M; without them all begins at random.
Paper: 89.99 %, the best of its models, chosen on the test images. MA-Net alone (Zhao, Liu and Wang,
TIP 2021): 88.40 %. Accuracy and time here: not yet measured.

Variants: "plain" MA-Net's own program, without the diversity loss; "acting" with the diversity loss
that has a gradient from the first step on; "tiny" for tests.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.fields import new_config
from tdgan_jax.families.ma_net.fields import apply_variant, as_the_first_program, learn_raf


def get_config(variant: str = "") -> ConfigDict:
    """The paper's settings; see the module for the variants."""
    config = new_config("ma_net")
    config.name = "ma_net_raf"
    config.data.expressions.dataset = "raf_db"
    learn_raf(config)
    return apply_variant(config, variant, plain=as_the_first_program)

"""IF-GAN on RAF-DB (Cai et al. 2021, arXiv:1903.08051): photographs from the web, seven classes.

    tdgan-jax prepare raf_db --source PATH
    tdgan-jax prepare bu3dfe --source PATH --config with_neutral --crop ifgan   # and ck_plus, mmi
    python launch.py --config configs/ifgan_raf.py \
        --config.training.imagenet_weights=resnet101.pth

12,271 images train, a tenth of them chooses the epoch; 3,068 test. Because of the poses in RAF-DB
the average faces come from the three posed sets, neutral faces included; with
`--config.data.average_identity_datasets=` they come from RAF-DB itself.
Paper: 88.33 %. Its ablations: `:baseline` (ResNet-101 with island loss on the single image)
86.31 %, `:without_attention` 87.32 %. Accuracy and time here: not yet measured.

The paper trains with the posed sets as additional data. That is off here; on, it is
`--config.data.additional_training_datasets=bu3dfe/with_neutral,ck_plus/with_neutral,mmi/with_neutral`.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.fields import new_config
from tdgan_jax.families.ifgan.fields import apply_variant


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "" (the paper's), its ablations "baseline" and "without_attention", and "tiny"."""
    config = new_config("ifgan")
    config.name = "ifgan_raf"
    config.data.expressions.dataset = "raf_db"
    config.data.average_identity_datasets = (
        "bu3dfe/with_neutral,ck_plus/with_neutral,mmi/with_neutral"
    )
    return apply_variant(config, variant)

"""IF-GAN on BU-3DFE (Cai et al. 2021, arXiv:1903.08051): ten folds by subject.

    tdgan-jax prepare bu3dfe --source PATH --crop ifgan
    python launch.py --config configs/ifgan_bu3dfe.py \
        --config.training.imagenet_weights=resnet101.pth

1,200 images: 100 people, six expressions at the two highest intensities.
Paper: 85.25 % (mean of ten folds; eight train, one validates, one tests). Its ablations:
`:baseline` (ResNet-101 with island loss on the single image) 82.5 %, `:without_attention` 84.25 %.
Accuracy and time here: not yet measured.

The paper trains with the other three sets as additional data. That is off here, since few have all
four; on, without the neutral faces and with RAF-DB's training split only, it is
`--config.data.additional_training_datasets=ck_plus/without_neutral,mmi,raf_db`.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.fields import new_config
from tdgan_jax.families.ifgan.fields import apply_variant, cross_validate_posed


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "" (the paper's), its ablations "baseline" and "without_attention", and "tiny"."""
    config = new_config("ifgan")
    config.name = "ifgan_bu3dfe"
    config.data.expressions.dataset = "bu3dfe"
    config.data.expressions.builder_config = "without_neutral"
    cross_validate_posed(config)
    return apply_variant(config, variant)

"""IF-GAN on CK+ (Cai et al. 2021, arXiv:1903.08051): ten folds by subject.

    tdgan-jax prepare ck_plus --source PATH --config without_neutral --crop ifgan
    python launch.py --config configs/ifgan_ck_plus.py \
        --config.training.imagenet_weights=resnet101.pth

927 images: the last three frames of 309 sequences, six expressions.
Paper: 97.52 % (mean of ten folds; eight train, one validates, one tests). Its ablations:
`:baseline` (ResNet-101 with island loss on the single image) 94.82 %, `:without_attention` 95.79 %.
Accuracy and time here: not yet measured.

The paper trains with the other three sets as additional data. That is off here, since few have all
four; on, without the neutral faces and with RAF-DB's training split only, it is
`--config.data.additional_training_datasets=bu3dfe,mmi,raf_db`.
"""

from ml_collections import ConfigDict

from tdgan_jax.families.fields import new_config
from tdgan_jax.families.ifgan.fields import apply_variant, cross_validate_posed


def get_config(variant: str = "") -> ConfigDict:
    """Variants: "" (the paper's), its ablations "baseline" and "without_attention", and "tiny"."""
    config = new_config("ifgan")
    config.name = "ifgan_ck_plus"
    config.data.expressions.dataset = "ck_plus"
    config.data.expressions.builder_config = "without_neutral"
    cross_validate_posed(config)
    return apply_variant(config, variant)

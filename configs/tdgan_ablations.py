"""What each part of TDGAN is good for: one variant a row of the table in docs/results.md.

    python benchmarks/ablations.py            # all rows, one after the other; goes on after a stop
    python launch.py --config configs/tdgan_ablations.py:without_consistency      # one of them

Small networks on the drawn faces at 32x32 pixels, so that a row takes minutes on two CPU cores;
what they show need not hold at full size. Variants: "" is everything that the others take something
from; "without_*" set one weight to 0 ("without_label_gradient": the labels teach the head alone,
as released); "random_pairing" pairs faces and expressions anew each epoch; "few_identities" gives
the face branch 8 people instead of 32; "tiny" is for tests. The plain classifier beside them is
`classifier_synthetic:ablations`. Accuracies: docs/results.md.
"""

from ml_collections import ConfigDict

from tdgan_jax.configuration import changeable_config, unknown_variant
from tdgan_jax.families.tdgan.fields import shrink_to_tiny

WITHOUT = {
    "without_adversarial_face": "adversarial_face_weight",
    "without_adversarial_expression": "adversarial_expression_weight",
    "without_perceptual": "perceptual_weight",
    "without_consistency": "consistency_weight",
    "without_label_gradient": "label_gradient_weight",
}
VARIANTS = (*WITHOUT, "random_pairing", "few_identities", "tiny")


def get_config(variant: str = "") -> ConfigDict:
    """Everything, or everything but one part; see the module for the variants."""
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    base = "tiny" if variant == "tiny" else "long"
    config = changeable_config(f"tdgan_synthetic:{base}")
    config.name = "tdgan_ablations"
    if variant == "tiny":
        return shrink_to_tiny(config)
    config.name += f"_{variant}" if variant else ""
    config.model.image_size_px = 32
    config.model.width_multiplier = 1 / 8
    config.model.noise_channels = 16
    config.model.num_inception_blocks = 1
    config.model.num_residual_convolutions = 1
    config.training.epochs = 4
    config.evaluation.yardsticks = False
    config.log.samples_every_steps = 252
    if variant in WITHOUT:
        config.loss[WITHOUT[variant]] = 0.0
    elif variant == "random_pairing":
        config.data.pairing = "random"
    elif variant == "few_identities":
        config.data.faces.num_identities = 8
    return config

"""What turns a TDGAN configuration into that of the plain classifier it is compared with."""

from ml_collections import ConfigDict

GENERATOR_FIELDS = {
    "model": ("noise_channels", "num_residual_convolutions"),
    "training": (
        "face_discriminator_gap",
        "expression_discriminator_gap",
        "discriminator_warmup_steps",
        "classifier_run",
    ),
    "learning_rate": (
        "face_encoder",
        "decoder",
        "face_discriminator",
        "expression_discriminator",
    ),
}


def classifier_of(config: ConfigDict) -> ConfigDict:
    """The papers' CNN-base: encoder and head of the same sizes, trained on labels alone.

    Data, augmentation, batches, updates, learning rates and selection are those of the TDGAN
    configuration; the face images are loaded and ignored.

    Args:
        config: A TDGAN configuration, changed in place.
    """
    config.name = config.name.replace("tdgan", "classifier")
    config.family = "classifier"
    for section, fields in GENERATOR_FIELDS.items():
        for field in fields:
            del config[section][field]
    # Decay of a running average of the weights, which is then evaluated in their place; 0: off.
    config.training.parameter_average_decay = 0.0
    config.loss = ConfigDict()
    config.loss.label_smoothing = 0.0  # share of the target spread over all classes
    # An image weighs the frequency of its class to the power of minus this; 0: off, 1: in full.
    config.loss.class_weighting_exponent = 0.0
    return config

"""Fields that all configurations of the plain classifier share."""

from ml_collections import ConfigDict

from tdgan_jax.configuration import Config
from tdgan_jax.families.image_fields import add_loop_sections, image_data_fields
from tdgan_jax.families.loop_fields import Limits, general_fields, log_of_tiny

LIMITS: Limits = {
    "model.width_multiplier": (1 / 64, 8),
    "model.num_inception_blocks": (1, 16),
    "model.resnet_depth": (1, 101),  # of those that `networks.resnet` knows
    "model.resnet_width": (1, 1024),
    "model.squeeze_reduction": (0, 1024),
    "model.densenet_growth_rate": (1, 256),
    "model.densenet_initial_channels": (1, 1024),
    "training.parameter_average_decay": (0, 0.999999),
    "loss.label_smoothing": (0, 0.99),
    "loss.class_weighting_exponent": (0, 10),
}


def classifier_config() -> Config:
    """The papers' CNN-base: TDGAN's expression encoder and head, trained on labels alone."""
    config = general_fields()

    config.model = ConfigDict()
    config.model.encoder = "inception"  # TDGAN's; or "resnet" or "densenet"
    config.model.image_size_px = 128
    config.model.image_channels = 1  # 1: gray, 3: colour
    config.model.dropout_rate = 0.5  # of the head
    config.model.width_multiplier = 1.0  # of "inception": all layers, head included
    config.model.num_inception_blocks = 4
    config.model.resnet_depth = 18  # of "resnet": 10, 18, 34, 50 or 101
    config.model.resnet_width = 64  # channels of its first stage
    config.model.resnet_stem = "7x7"  # stride 2 and a pool, as torchvision; "3x3": and a pool
    config.model.squeeze_reduction = (
        0  # squeeze-and-excitation: channels over hidden units; 0: none
    )
    config.model.densenet_block_layers = (6, 12, 24, 16)  # of "densenet": here that of 121 layers
    config.model.densenet_growth_rate = 32
    config.model.densenet_initial_channels = 64

    config.data = image_data_fields()

    config.training = ConfigDict()
    config.training.epochs = 20
    config.training.batch_size = 16  # over all devices
    # A model of this family whose weights a new run begins with: a run, an export, "pretrained".
    config.training.initial_model = ""
    # Decay of a running average of the weights, which is then evaluated in their place; 0: off.
    config.training.parameter_average_decay = 0.0

    config.loss = ConfigDict()
    config.loss.label_smoothing = 0.0  # share of the target spread over all classes
    # An image weighs the frequency of its class to the power of minus this; 0: off, 1: in full.
    config.loss.class_weighting_exponent = 0.0

    add_loop_sections(config, learning_rate=1e-4, batch_size=64)
    # Of "inception": compute the inside of layers again: less memory.
    config.parallel.rematerialise = False
    return config


def like_tdgan_on_a_cpu(config: Config) -> None:
    """The sizes and the rate of TDGAN's configurations for two CPU cores."""
    config.model.image_size_px = 64
    config.model.width_multiplier = 0.25
    config.model.dropout_rate = 0.1
    config.training.batch_size = 16
    config.schedule.learning_rate = 5e-4


def use_small_resnet(config: Config) -> None:
    """A residual network that two CPU cores train, and its optimiser; rate and epochs are open."""
    config.model.encoder = "resnet"
    config.model.resnet_depth = 18
    config.model.resnet_width = 32
    config.model.resnet_stem = "3x3"
    config.optimizer.kind = "adamw"
    config.optimizer.weight_decay = 0.05
    config.optimizer.decays_vectors = False
    config.schedule.kind = "one_cycle"


def like_the_shipped_recogniser(config: Config) -> None:
    """Network, normalisation, augmentations and optimiser of the recogniser that ships.

    Its weights fit: `training.initial_model=pretrained`. Epochs and rate are left to the
    configuration.
    """
    use_small_resnet(config)
    config.model.image_size_px = 64
    config.model.squeeze_reduction = 8
    config.model.dropout_rate = 0.2
    config.data.training_transform = "resize"
    config.data.mean = (0.507,)
    config.data.deviation = (0.255,)
    config.data.augmentations = (
        ConfigDict({"kind": "flip"}),
        ConfigDict(
            {
                "kind": "affine",
                "rotation_degrees": 12.0,
                "translation": 0.08,
                "scale": (0.85, 1.15),
            }
        ),
        ConfigDict({"kind": "colour_jitter", "brightness": 0.3, "contrast": 0.3}),
        ConfigDict({"kind": "erasing", "probability": 0.4, "area": (0.02, 0.2), "fill": "mean"}),
    )


def shrink_to_tiny(config: Config) -> None:
    """The same structure at the smallest size: seconds to run, for tests and tries."""
    config.name += "_tiny"
    config.model.image_size_px = 32
    config.model.width_multiplier = 1 / 16
    config.model.num_inception_blocks = 1
    config.model.resnet_depth = 10
    config.model.resnet_width = 4
    config.model.densenet_block_layers = (1, 2)
    config.model.densenet_growth_rate = 4
    config.model.densenet_initial_channels = 8
    config.training.epochs = 2
    config.training.batch_size = 4
    log_of_tiny(config)

"""Fields that all configurations of MA-Net share; the values are the papers' for RAF-DB."""

from collections.abc import Callable

from ml_collections import ConfigDict

from tdgan_jax.configuration import Config
from tdgan_jax.families.diversity_options import DIVERSITY_LIMITS, diversity_fields
from tdgan_jax.families.image_fields import (
    SAMPLING_LIMITS,
    add_loop_sections,
    changed_by_variant,
    jitter_flip_and_affine,
    sampled_data_fields,
    turn_shift_and_erase,
)
from tdgan_jax.families.loop_fields import Limits, general_fields, log_of_tiny

LIMITS: Limits = {
    **SAMPLING_LIMITS,
    **DIVERSITY_LIMITS,
    "model.width": (4, 1024),
    "model.attention_reduction": (1, 1024),
}


def ma_net_config() -> Config:
    """MA-Net in full size with the diversity loss; the dataset is left open."""
    config = general_fields()

    config.model = ConfigDict()
    config.model.image_size_px = 224  # a multiple of 16
    config.model.image_channels = 3  # 1: gray, 3: colour
    config.model.width = 64  # channels of the stem; the last layers have 8 times as many
    config.model.attention_reduction = 16  # channels over hidden units
    # The second sub-body of a multi-scale block; "reversed": as its program since April 2023.
    config.model.second_direction = "forward"

    config.data = sampled_data_fields()

    config.training = ConfigDict()
    config.training.epochs = 100
    config.training.batch_size = 128  # over all devices
    # File of a MA-Net (`Pretrained_on_MSCeleb.pth.tar`) or folder of a run, of which all but the
    # heads is taken; "": random weights.
    config.training.start_weights = ""

    config.loss = diversity_fields()

    add_loop_sections(config, learning_rate=0.01, batch_size=128)
    config.optimizer.kind = "sgd"
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 1e-4
    config.schedule.kind = "step"
    config.schedule.decay = 0.1
    config.schedule.decay_epochs = 15
    return config


def learn_affectnet(config: Config) -> None:
    """What the diversified program does on AffectNet (spec MA-Net, C.3)."""
    config.data.channel_order = "bgr"
    config.data.sampling = "capped"
    config.training.epochs = 20
    config.schedule.decay_epochs = 5
    jitter_flip_and_affine(config)


def learn_ferplus(config: Config) -> None:
    """What the diversified program does on FER+ (spec MA-Net, C.3)."""
    config.data.channel_order = "bgr"
    config.data.sampling = "capped"
    config.training.batch_size = 32
    jitter_flip_and_affine(config)


def learn_raf(config: Config) -> None:
    """What the diversified program does on RAF-DB (spec MA-Net, C.3)."""
    turn_shift_and_erase(config)


def without_diversity(config: Config) -> None:
    """MA-Net alone."""
    config.loss.diversity = "none"


def with_acting_diversity(config: Config) -> None:
    """The diversity loss that has a gradient from the first step on."""
    config.loss.diversity = "acting"


def as_the_first_program(config: Config) -> None:
    """MA-Net's own program: no diversity, colours in [0, 1], random resized crops."""
    without_diversity(config)
    config.data.channel_order = "rgb"
    config.data.mean, config.data.deviation = (0.0,), (1.0,)
    config.data.augmentations = (
        ConfigDict({"kind": "random_resized_crop"}),
        ConfigDict({"kind": "flip"}),
    )


def draw_balanced(config: Config) -> None:
    """MA-Net's own program on AffectNet: every class is drawn as often (spec MA-Net, C.3)."""
    as_the_first_program(config)
    config.data.sampling = "balanced"
    config.training.batch_size = 256


def reduce_for_cpu(config: Config) -> None:
    """Gray images of 48x48 pixels and a quarter of the width, from scratch: for two CPU cores."""
    config.model.image_size_px = 48
    config.model.image_channels = 1
    config.model.width = 16
    config.data.channel_order = "rgb"
    config.training.epochs = 12
    config.training.batch_size = 32
    config.schedule.decay_epochs = 4
    config.schedule.learning_rate = 0.03
    config.log.every_steps = 20
    config.log.samples_every_steps = 400


def shrink_to_tiny(config: Config) -> None:
    """The same structure at the smallest size: seconds to run, for tests and tries."""
    config.model.image_size_px = 32
    config.model.width = 4
    config.training.epochs = 2
    config.training.batch_size = 4
    log_of_tiny(config)


def apply_variant(config: Config, variant: str, **more: Callable[[Config], None]) -> Config:
    """The configuration as it is, or what a variant makes of it.

    Args:
        config: Changed in place.
        variant: "", "plain" (no diversity loss), "acting", "tiny", or one of the others.
        **more: Further variants, or others of these, by name.

    Raises:
        UsageError: If the variant is another one.
    """
    known = {"plain": without_diversity, "acting": with_acting_diversity, "tiny": shrink_to_tiny}
    return changed_by_variant(config, variant, known | more)

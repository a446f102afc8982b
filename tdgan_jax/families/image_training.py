"""What the systems that learn the labels of single images do alike, from a configuration."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from tdgan_jax.configuration import Config
from tdgan_jax.data.image_feed import ImageBatch
from tdgan_jax.errors import UsageError, UserError, unknown_name
from tdgan_jax.networks.layers import to_unit_range
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.steps.learning import scheduled_rate
from tdgan_jax.steps.optimisers import OptimizerSettings, check_optimizer, make_optimizer
from tdgan_jax.steps.schedules import Schedule, check_schedule

STATISTICS = ("global", "device")
# Columns of a sample sheet.
INPUT_COLUMN = "input"
ATTENTION_COLUMN = "attention"


def normalisation_of(config: Config) -> Normalisation:
    """What images become before the network.

    Raises:
        UsageError: If there are other numbers than one, or one a channel, or a deviation that is
            not positive.
    """
    for field in ("mean", "deviation"):
        if len(config.data[field]) not in (1, config.model.image_channels):
            raise UsageError(
                f"data.{field} has {len(config.data[field])} numbers; images of "
                f"{config.model.image_channels} channel(s) take one, or one a channel"
            )
    if min(config.data.deviation) <= 0:
        raise UsageError(
            f"data.deviation divides the images and must be positive, got {config.data.deviation}"
        )
    return Normalisation(
        tuple(config.data.mean), tuple(config.data.deviation), config.data.channel_order
    )


def has_global_statistics(config: Config) -> bool:
    """Whether batch norms see the whole batch, or each device's part.

    Raises:
        UsageError: If the configuration names something else.
    """
    found = config.parallel.batch_statistics
    if found not in STATISTICS:
        raise unknown_name("parallel.batch_statistics", found, STATISTICS)
    return found == "global"


def configured_optimizer(
    config: Config, *, epochs: int, **settings: Any
) -> optax.GradientTransformationExtraArgs:
    """The optimiser of a configuration's sections `optimizer` and `schedule`.

    Args:
        config: The configuration.
        epochs: Of the training or the stage.
        **settings: Of `OptimizerSettings`, what the sections do not say.

    Raises:
        UsageError: If a value is out of range.
    """
    of_optimizer = OptimizerSettings(**config.optimizer.to_dict(), **settings)
    schedule = Schedule(**config.schedule.to_dict())
    check_optimizer(of_optimizer)
    check_schedule(schedule)
    return make_optimizer(of_optimizer, scheduled_rate(schedule, epochs=epochs))


def input_images(batch: ImageBatch) -> jax.Array:
    """The augmented images, float32 `[N, S, S, channels]` in [0, 1]."""
    return to_unit_range(batch.image)


def as_picture(attention: jax.Array, images: jax.Array) -> jax.Array:
    """Attentions `[N, h, w]` in [0, 1] as gray pictures of the size and channels of images."""
    count, size_px, _, channels = images.shape
    enlarged = jax.image.resize(attention, (count, size_px, size_px), "nearest")
    return jnp.repeat(enlarged[..., None], channels, axis=-1)


def sampling_of(config: Config, **more: Any) -> dict[str, Any]:
    """Which images an epoch shows, as `image_feed` takes it.

    Args:
        config: With the fields of `sampled_data_fields`.
        **more: Further ones.
    """
    return {"sampling": config.data.sampling, "cap": config.data.class_cap, **more}


def check_start_weights(config: Config) -> None:
    """Makes sure that the weights that a new run starts from are there.

    Raises:
        UserError: Names the missing file or folder.
    """
    given = config.training.start_weights
    if given and not Path(given).exists():
        raise UserError(f"training.start_weights: there is no file or folder {given}")

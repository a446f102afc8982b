"""Learning rates over a training: pure functions of the step, the epoch's length and the epochs.

The step and both lengths may be traced values, so that one compiled program serves trainings of
different lengths. A rate for a step is the one of its update: step 0 is the first. Beyond the last
epoch the rate stays as it was at its end.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tdgan_jax.errors import UsageError, unknown_name

KINDS = ("constant", "step", "cosine", "one_cycle")

Number = int | float | jax.Array


class Schedule(NamedTuple):
    """How a learning rate goes over a training.

    Attributes:
        kind: One of `KINDS`.
        learning_rate: The rate; with "one_cycle" the highest one.
        warmup_epochs: Epochs, or part of one, in which the rate rises in a straight line; not with
            "one_cycle", which begins with a rise of its own.
        warmup_start: Part of the rate with which the rise begins.
        decay: Of "step": factor after every `decay_epochs` epochs, counted from the first on.
        decay_epochs: Of "step".
        final_part: Of "cosine": part of the rate that it falls to, over the steps after the rise.
        rise: Of "one_cycle": part of the steps in which the rate rises.
        initial_divisor: Of "one_cycle": the first rate is the highest one divided by this.
        final_divisor: Of "one_cycle": the last rate is the first one divided by this.
    """

    kind: str = "constant"
    learning_rate: float = 1e-3
    warmup_epochs: float = 0.0
    warmup_start: float = 0.01
    decay: float = 0.1
    decay_epochs: int = 10
    final_part: float = 0.0
    rise: float = 0.3
    initial_divisor: float = 25.0
    final_divisor: float = 1e4


def check_schedule(schedule: Schedule, field: str = "schedule") -> None:
    """Refuses a schedule that is out of range.

    Args:
        schedule: From a configuration.
        field: Name of the configuration's section.

    Raises:
        UsageError: Names the field.
    """
    if schedule.kind not in KINDS:
        raise unknown_name(f"{field}.kind", schedule.kind, KINDS)
    for name in ("learning_rate", "warmup_epochs"):
        if not 0 <= (value := getattr(schedule, name)) < math.inf:
            raise UsageError(f"{field}.{name} must be 0 or more, got {value}")
    for name in ("warmup_start", "decay", "final_part", "rise"):
        if not 0 <= (value := getattr(schedule, name)) <= 1:
            raise UsageError(f"{field}.{name} must be in [0, 1], got {value}")
    for name in ("decay_epochs", "initial_divisor", "final_divisor"):
        if not 1 <= (value := getattr(schedule, name)) < math.inf:
            raise UsageError(f"{field}.{name} must be 1 or more, got {value}")
    if schedule.kind == "one_cycle" and schedule.warmup_epochs:
        raise UsageError(f"{field}.warmup_epochs must be 0 with one_cycle, which rises by itself")


def learning_rate_at(
    schedule: Schedule, step: Number, *, steps_per_epoch: Number, epochs: Number
) -> jax.Array:
    """The rate of a step, float32 scalar.

    Args:
        schedule: See `Schedule`.
        step: Updates done before it, in this training or this stage of one.
        steps_per_epoch: Updates in an epoch.
        epochs: Epochs of the training or the stage.
    """
    step = jnp.asarray(step)
    num_steps = jnp.asarray(steps_per_epoch * epochs).astype(jnp.float32)
    warmup_steps = jnp.asarray(schedule.warmup_epochs * steps_per_epoch).astype(jnp.float32)
    if schedule.kind == "one_cycle":
        factor = one_cycle(
            step,
            num_steps,
            rise=schedule.rise,
            initial_part=1 / schedule.initial_divisor,
            final_part=1 / (schedule.initial_divisor * schedule.final_divisor),
        )
    elif schedule.kind == "cosine":
        factor = cosine(step - warmup_steps, num_steps - warmup_steps, schedule.final_part)
    elif schedule.kind == "step":
        epoch = jnp.minimum(step // steps_per_epoch, epochs - 1)
        factor = schedule.decay ** (epoch // schedule.decay_epochs).astype(jnp.float32)
    else:
        factor = jnp.ones(())
    if schedule.warmup_epochs:
        factor = factor * linear_rise(step, warmup_steps, schedule.warmup_start)
    return schedule.learning_rate * factor


def linear_rise(step: Number, num_steps: Number, initial_part: float) -> jax.Array:
    """Factor that goes from `initial_part` to 1 in a straight line (`LinearLR`)."""
    return initial_part + (1 - initial_part) * jnp.clip(step / num_steps, 0, 1)


def cosine(step: Number, num_steps: Number, final_part: float) -> jax.Array:
    """Factor that falls from 1 to `final_part` as half a cosine (`CosineAnnealingLR`).

    Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts.
    """
    remaining = jnp.clip((num_steps - step) / jnp.maximum(num_steps, 1), 0, 1)
    # (1 + cos(pi * position)) / 2, which would lose its digits towards the end.
    return final_part + (1 - final_part) * jnp.sin(jnp.pi / 2 * remaining) ** 2


def one_cycle(
    step: Number, num_steps: Number, *, rise: float, initial_part: float, final_part: float
) -> jax.Array:
    """Factor that rises to 1 and falls below where it began (`OneCycleLR`, two phases).

    Smith and Topin 2018, arXiv:1708.07120; both ways are halves of a cosine. The momentum stays.

    Args:
        step: From 0.
        num_steps: Of the whole training.
        rise: Part of the steps after which the factor is 1.
        initial_part: First factor.
        final_part: Factor of the last step.
    """
    top = jnp.maximum(rise * num_steps - 1, 0)
    fall = jnp.maximum(num_steps - 1 - top, 1)
    return jnp.where(
        step < top, cosine(top - step, top, initial_part), cosine(step - top, fall, final_part)
    )

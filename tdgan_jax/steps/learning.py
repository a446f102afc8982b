"""One update of networks that learn together from one loss, as a per-device function."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from tdgan_jax.networks.batch_norm import BatchStatistics, batch_statistics
from tdgan_jax.steps.schedules import Schedule, learning_rate_at
from tdgan_jax.steps.state import (
    Metrics,
    Parameters,
    average_over_devices,
    running_averages,
    separate,
    together,
)

Definitions = Mapping[str, nnx.GraphDef[Any]]
Trees = dict[str, Parameters]
# Networks by name and what their batch norms take as a batch, to the loss and the metrics.
Loss = Callable[[dict[str, Any], BatchStatistics], tuple[jax.Array, Metrics]]


class TrainState(NamedTuple):
    """Everything that training changes.

    Attributes:
        parameters: Network name to tree of weights and running averages.
        optimizer_state: Of the weights of all networks together.
        step: int32 scalar, steps done since the start.
    """

    parameters: Trees
    optimizer_state: optax.OptState
    step: jax.Array


class Learned(NamedTuple):
    """What an update leaves.

    Attributes:
        weights: Network name to tree of weights and running averages.
        optimizer_state: Of the weights of all networks.
        metrics: float32 scalars, averaged over the devices.
    """

    weights: Trees
    optimizer_state: optax.OptState
    metrics: Metrics


def separate_all(definitions: Definitions, trees: Mapping[str, Parameters]) -> tuple[Trees, Trees]:
    """What is trained and the running averages, each by network name."""
    parts = {name: separate(definitions[name], tree) for name, tree in trees.items()}
    return {n: part[0] for n, part in parts.items()}, {n: part[1] for n, part in parts.items()}


def updated(
    definitions: Definitions,
    optimizer: optax.GradientTransformationExtraArgs,
    weights: Trees,
    optimizer_state: optax.OptState,
    loss: Loss,
    *,
    example_weight: jax.Array,
    steps_per_epoch: jax.Array,
    axis_name: str | None,
    has_global_statistics: bool,
) -> Learned:
    """Updates all networks by the gradient of one loss.

    Args:
        definitions: The networks without values, by name.
        optimizer: Of all weights together; its rate is that of `scheduled_rate`.
        weights: Network name to tree of weights and running averages.
        optimizer_state: The optimiser's.
        loss: Of this device's part of the batch.
        example_weight: float32 `[N]`, 0 for padding, mean 1 over the whole batch.
        steps_per_epoch: int32 scalar.
        axis_name: Mapped axis to average gradients and metrics over; None without one.
        has_global_statistics: Whether the batch norms see the whole batch, so that results do not
            depend on the number of devices, or each device's part.
    """
    statistics = batch_statistics(
        example_weight, axis_name=axis_name if has_global_statistics else None
    )
    trained, averages = separate_all(definitions, weights)

    def of_weights(trained: Trees) -> tuple[jax.Array, tuple[Trees, Metrics]]:
        networks = {
            name: nnx.merge(definitions[name], trained[name], averages[name]) for name in trained
        }
        value, metrics = loss(networks, statistics)
        return value, ({n: running_averages(network) for n, network in networks.items()}, metrics)

    gradient, (moved_averages, metrics) = jax.grad(of_weights, has_aux=True)(trained)
    gradient = average_over_devices(gradient, axis_name)
    metrics = average_over_devices(metrics, axis_name)
    if not has_global_statistics and axis_name is not None:
        # A device counts by its examples, which all have the same weight when nothing is padded.
        share = jnp.mean(example_weight)
        # Of differences: what does not move, such as constants, is not rounded either.
        difference = jax.tree.map(lambda new, old: share * (new - old), moved_averages, averages)
        difference = average_over_devices(difference, axis_name)
        moved_averages = jax.tree.map(jnp.add, averages, difference)
    change, optimizer_state = optimizer.update(
        gradient, optimizer_state, trained, steps_per_epoch=steps_per_epoch
    )
    changed: Any = optax.apply_updates(trained, change)
    moved = {n: together(definitions[n], changed[n], moved_averages[n]) for n in weights}
    return Learned(moved, optimizer_state, metrics)


def scheduled_rate(schedule: Schedule, *, epochs: int) -> Callable[..., jax.Array]:
    """The learning rate of an optimiser: of the updates done and the epoch's length.

    Args:
        schedule: How it goes.
        epochs: Of the training, or of the stage that the optimiser is for.
    """

    def rate(step: jax.Array, *, steps_per_epoch: jax.Array) -> jax.Array:
        return learning_rate_at(schedule, step, steps_per_epoch=steps_per_epoch, epochs=epochs)

    return rate

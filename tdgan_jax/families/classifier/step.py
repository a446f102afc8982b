"""One training step of the plain classifier, as a per-device function.

The papers' "CNN-base": TDGAN's expression encoder and head, trained on labels alone (spec TDGAN
2.2 and 2.4). TDGAN is compared with it. It is fed the same batches, whose faces it ignores.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from tdgan_jax.families.tdgan.networks import Encoder, Head
from tdgan_jax.families.tdgan.objective import Batch, Metrics, Parameters, to_unit_range
from tdgan_jax.losses import accuracy, cross_entropy_loss
from tdgan_jax.steps.parallel import BATCH_AXIS

SAMPLE_COLUMNS = ("input",)


class Classifier(NamedTuple):
    """The two networks, by the names that they have in TDGAN."""

    expression_encoder: Encoder
    expression_head: Head


class Definitions(NamedTuple):
    """The networks without their parameters: hashable, merged with parameters to be called."""

    expression_encoder: nnx.GraphDef[Encoder]
    expression_head: nnx.GraphDef[Head]


class TrainState(NamedTuple):
    """Everything that training changes.

    Attributes:
        weights: Network name (`Classifier`'s fields) to the parameter tree that is trained.
        weight_averages: Running averages of the weights; None when they are off.
        optimizer_states: Network name to state of its own optimiser.
        class_counts: float32 `[C]`, training images of each class seen so far; None without class
            weighting.
        step: int32 scalar, steps done since the start.
    """

    weights: dict[str, Parameters]
    weight_averages: dict[str, Parameters] | None
    optimizer_states: dict[str, optax.OptState]
    class_counts: jax.Array | None
    step: jax.Array

    @property
    def parameters(self) -> dict[str, Parameters]:
        """What is evaluated and kept: the averages where there are any."""
        return self.weights if self.weight_averages is None else self.weight_averages


class Objective(NamedTuple):
    """Options of the loss; the defaults are plain cross-entropy.

    Attributes:
        label_smoothing: Share of the target that all classes get in equal parts.
        class_weighting_exponent: A class's images weigh its frequency to the power of minus this.
            0: all the same, 1: every class counts the same in sum.
    """

    label_smoothing: float = 0.0
    class_weighting_exponent: float = 0.0


class Setup(NamedTuple):
    """What stays the same over a training.

    Attributes:
        networks: Definitions of the networks.
        objective: Options of the loss.
        optimizers: Network name to its optimiser.
        parameter_average_decay: Share of the old average in the new one; 0: no averages.
        axis_name: Mapped axis to average gradients and metrics over; None without one.
    """

    networks: Definitions
    objective: Objective
    optimizers: Mapping[str, optax.GradientTransformation]
    parameter_average_decay: float = 0.0
    axis_name: str | None = BATCH_AXIS


def split_networks(networks: Classifier) -> tuple[Definitions, dict[str, Parameters]]:
    """Separates networks into definitions (hashable) and parameter trees by network name."""
    halves = {name: nnx.split(network) for name, network in networks._asdict().items()}
    definitions = Definitions(*(definition for definition, _ in halves.values()))
    return definitions, {name: nnx.to_pure_dict(state) for name, (_, state) in halves.items()}


def init_state(setup: Setup, weights: dict[str, Parameters], *, num_classes: int) -> TrainState:
    """State at step 0."""
    states = {name: setup.optimizers[name].init(tree) for name, tree in weights.items()}
    averages = counts = None
    if setup.parameter_average_decay:
        # Buffers of their own: the step donates both.
        averages = jax.tree.map(jnp.copy, weights)
    if setup.objective.class_weighting_exponent:
        counts = jnp.zeros(num_classes)
    return TrainState(weights, averages, states, counts, jnp.zeros((), jnp.int32))


def count_classes(setup: Setup, counts: jax.Array, batch: Batch) -> jax.Array:
    """Adds the images of the whole batch to the counts `[C]`, padding left out."""
    present = (batch.weight > 0).astype(jnp.float32)[:, None]
    seen = (present * jax.nn.one_hot(batch.expression_label, len(counts))).sum(axis=0)
    return counts + (seen if setup.axis_name is None else jax.lax.psum(seen, setup.axis_name))


def class_weights(counts: jax.Array, *, exponent: float) -> jax.Array:
    """Weight of each class, `count^-exponent`, scaled so that the counted images have mean 1."""
    weights = jnp.maximum(counts, 1.0) ** -exponent
    return weights * counts.sum() / (weights * counts).sum()


def update_classifier(
    setup: Setup, state: TrainState, batch: Batch, dropout_keys: jax.Array | None
) -> tuple[TrainState, Metrics]:
    """Updates encoder and head by the cross-entropy of the expression images.

    Returns:
        The state and metrics; the counts of the classes have grown by the batch.
    """
    weight = batch.weight
    if state.class_counts is not None:
        counts = count_classes(setup, state.class_counts, batch)
        by_class = class_weights(counts, exponent=setup.objective.class_weighting_exponent)
        weight = weight * by_class[batch.expression_label]
        state = state._replace(class_counts=counts)

    def loss(weights: dict[str, Parameters]) -> tuple[jax.Array, Metrics]:
        encoder = nnx.merge(setup.networks.expression_encoder, weights["expression_encoder"])
        head = nnx.merge(setup.networks.expression_head, weights["expression_head"])
        logits = head(encoder(batch.expression_image), dropout_keys=dropout_keys)
        value = cross_entropy_loss(
            logits,
            batch.expression_label,
            weight,
            label_smoothing=setup.objective.label_smoothing,
        )
        right = accuracy(logits, batch.expression_label, batch.weight)
        return value, {"classifier": value, "classifier_accuracy": right}

    gradient, metrics = jax.grad(loss, has_aux=True)(state.weights)
    if setup.axis_name is not None:
        gradient, metrics = jax.lax.pmean((gradient, metrics), setup.axis_name)
    weights, states = {}, {}
    for name, optimizer in setup.optimizers.items():
        change, states[name] = optimizer.update(
            gradient[name], state.optimizer_states[name], state.weights[name]
        )
        weights[name] = optax.apply_updates(state.weights[name], change)
    return state._replace(weights=weights, optimizer_states=states), metrics


def update_averages(setup: Setup, state: TrainState) -> TrainState:
    """Moves the averages towards the weights; early steps forget their beginning sooner.

    The decay is at most `(1 + t) / (10 + t)` after t steps, so that the random initialisation does
    not stay in the average of a short training.
    """
    if state.weight_averages is None:
        return state
    steps = (state.step + 1).astype(jnp.float32)
    decay = jnp.minimum(setup.parameter_average_decay, (1 + steps) / (10 + steps))
    averages = jax.tree.map(
        lambda average, weight: weight + decay * (average - weight),
        state.weight_averages,
        state.weights,
    )
    return state._replace(weight_averages=averages)


def train_step(
    setup: Setup, state: TrainState, batch: Batch, dropout_keys: jax.Array | None
) -> tuple[TrainState, Metrics]:
    """Runs one whole step.

    Args:
        setup: What stays the same over the training (static).
        state: State before the step.
        batch: This device's part of the batch; its faces are not looked at.
        dropout_keys: `[N]` keys of the head's dropout; None switches it off.

    Returns:
        The new state and the metrics, float32 scalars averaged over the devices.
    """
    batch = batch._replace(expression_image=to_unit_range(batch.expression_image))
    state, metrics = update_classifier(setup, state, batch, dropout_keys)
    state = update_averages(setup, state)
    return state._replace(step=state.step + 1), metrics


def eval_step(
    networks: Definitions, parameters: Mapping[str, Parameters], images: jax.Array
) -> dict[str, jax.Array]:
    """Logits `[N, C]` of the `classifier`, without dropout.

    Args:
        networks: Definitions of the networks.
        parameters: Network name to parameter tree.
        images: uint8 or float32 in [0, 1], `[N, S, S, channels]`.
    """
    encoder = nnx.merge(networks.expression_encoder, parameters["expression_encoder"])
    head = nnx.merge(networks.expression_head, parameters["expression_head"])
    return {"classifier": head(encoder(to_unit_range(images)))}


def sample_step(batch: Batch) -> dict[str, Any]:
    """The expression images as the network sees them, float32 `[N, S, S, channels]` in [0, 1]."""
    return {"input": to_unit_range(batch.expression_image)}

"""One training step of the plain classifier, as a per-device function.

Encoder and head learn together from the cross-entropy with a target distribution.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from tdgan_jax.data.image_feed import ImageBatch
from tdgan_jax.families.classifier.networks import Definitions, encode
from tdgan_jax.losses import accuracy, distribution_loss
from tdgan_jax.networks.batch_norm import BatchStatistics
from tdgan_jax.networks.normalisation import Normalisation, normalised
from tdgan_jax.steps.averages import first_averages, moved_averages
from tdgan_jax.steps.learning import separate_all, updated
from tdgan_jax.steps.parallel import BATCH_AXIS
from tdgan_jax.steps.state import Answers, Metrics, Parameters


class TrainState(NamedTuple):
    """Everything that training changes.

    Attributes:
        weights: Network name (`Classifier`'s fields) to the tree that is trained, with the running
            averages of its batch norms.
        weight_averages: Running averages of the weights; None when they are off.
        optimizer_state: Of the weights of both networks.
        class_counts: float32 `[C]`, training images of each class seen so far; None without class
            weighting.
        step: int32 scalar, steps done since the start.
    """

    weights: dict[str, Parameters]
    weight_averages: dict[str, Parameters] | None
    optimizer_state: optax.OptState
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
        optimizer: Of both networks together.
        normalisation: Of the images.
        parameter_average_decay: Share of the old average in the new one; 0: no averages.
        has_global_statistics: Whether the batch norms see the whole batch, so that results do not
            depend on the number of devices, or each device's part.
        axis_name: Mapped axis to average gradients and metrics over; None without one.
    """

    networks: Definitions
    objective: Objective
    optimizer: optax.GradientTransformationExtraArgs
    normalisation: Normalisation = Normalisation()
    parameter_average_decay: float = 0.0
    has_global_statistics: bool = True
    axis_name: str | None = BATCH_AXIS


def init_state(setup: Setup, weights: dict[str, Parameters], *, num_classes: int) -> TrainState:
    """State at step 0."""
    trained, _ = separate_all(setup.networks._asdict(), weights)
    return TrainState(
        weights=weights,
        weight_averages=first_averages(weights) if setup.parameter_average_decay else None,
        optimizer_state=setup.optimizer.init(trained),
        class_counts=jnp.zeros(num_classes) if setup.objective.class_weighting_exponent else None,
        step=jnp.zeros((), jnp.int32),
    )


def count_classes(setup: Setup, counts: jax.Array, batch: ImageBatch) -> jax.Array:
    """Adds the targets of the whole batch to the counts `[C]`, padding left out."""
    present = (batch.weight > 0).astype(jnp.float32)[:, None]
    seen = (present * batch.target).sum(axis=0)
    return counts + (seen if setup.axis_name is None else jax.lax.psum(seen, setup.axis_name))


def class_weights(counts: jax.Array, *, exponent: float) -> jax.Array:
    """Weight of each class, `count^-exponent`, scaled so that the counted images have mean 1."""
    weights = jnp.maximum(counts, 1.0) ** -exponent
    return weights * counts.sum() / (weights * counts).sum()


def update_classifier(
    setup: Setup, state: TrainState, batch: ImageBatch, dropout_keys: jax.Array | None
) -> tuple[TrainState, Metrics]:
    """Updates encoder and head by the cross-entropy of the images.

    Returns:
        The state and metrics; the counts of the classes have grown by the batch.
    """
    weight = batch.weight
    if state.class_counts is not None:
        counts = count_classes(setup, state.class_counts, batch)
        by_class = class_weights(counts, exponent=setup.objective.class_weighting_exponent)
        weight = weight * (batch.target * by_class[None]).sum(axis=1)
        state = state._replace(class_counts=counts)

    def loss(networks: dict[str, Any], statistics: BatchStatistics) -> tuple[jax.Array, Metrics]:
        feature = encode(networks["expression_encoder"], batch.image, statistics)
        logits = networks["expression_head"](feature, dropout_keys=dropout_keys)
        value = distribution_loss(
            logits, batch.target, weight, label_smoothing=setup.objective.label_smoothing
        )
        return value, {
            "classifier": value,
            "classifier_accuracy": accuracy(logits, batch.expression_label, batch.weight),
        }

    learned = updated(
        setup.networks._asdict(),
        setup.optimizer,
        state.weights,
        state.optimizer_state,
        loss,
        example_weight=batch.weight,
        steps_per_epoch=batch.steps_per_epoch[0],
        axis_name=setup.axis_name,
        has_global_statistics=setup.has_global_statistics,
    )
    state = state._replace(weights=learned.weights, optimizer_state=learned.optimizer_state)
    return state, learned.metrics


def train_step(
    setup: Setup, state: TrainState, batch: ImageBatch, dropout_keys: jax.Array | None
) -> tuple[TrainState, Metrics]:
    """Runs one whole step.

    Args:
        setup: What stays the same over the training (static).
        state: State before the step.
        batch: This device's part of the batch.
        dropout_keys: `[N]` keys of the head's dropout; None switches it off.

    Returns:
        The new state and the metrics, float32 scalars averaged over the devices.
    """
    batch = batch._replace(image=normalised(batch.image, setup.normalisation))
    state, metrics = update_classifier(setup, state, batch, dropout_keys)
    state = state._replace(step=state.step + 1)
    if state.weight_averages is not None:
        averages = moved_averages(
            state.weight_averages,
            state.weights,
            decay=setup.parameter_average_decay,
            num_steps=state.step,
        )
        state = state._replace(weight_averages=averages)
    return state, metrics


def eval_step(
    networks: Definitions,
    normalisation: Normalisation,
    parameters: Mapping[str, Parameters],
    images: jax.Array,
) -> dict[str, Answers]:
    """Answers of the `classifier`, without dropout.

    Args:
        networks: Definitions of the networks.
        normalisation: Of the images.
        parameters: Network name to parameter tree.
        images: uint8 or float32 in [0, 1], `[N, S, S, channels]`.
    """
    head = nnx.merge(networks.expression_head, parameters["expression_head"])
    return {"classifier": Answers(head(features(networks, normalisation, parameters, images)))}


def features(
    networks: Definitions,
    normalisation: Normalisation,
    parameters: Mapping[str, Parameters],
    images: jax.Array,
) -> jax.Array:
    """What the head sees: `[N, S/16, S/16, C]` or `[N, F]`; arguments as of `eval_step`."""
    encoder = nnx.merge(networks.expression_encoder, parameters["expression_encoder"])
    return encode(encoder, normalised(images, normalisation))

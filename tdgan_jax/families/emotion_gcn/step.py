"""One training step of Emotion-GCN and its baselines, as a per-device function.

The network learns from a cross-entropy, weighted by class, and from the concordance of valence and
arousal over the whole batch (spec Emotion-GCN 3). The graph's adjacency, the word vectors and the
unused head of a BReG-NeXt are no parameters: nothing moves them, weight decay neither.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from tdgan_jax.data.image_feed import ImageBatch
from tdgan_jax.families.emotion_gcn.networks import Definitions, Prediction
from tdgan_jax.losses import accuracy, concordance_loss, distribution_loss
from tdgan_jax.networks.batch_norm import BatchStatistics
from tdgan_jax.networks.normalisation import Normalisation, normalised
from tdgan_jax.steps.learning import separate_all, updated
from tdgan_jax.steps.parallel import BATCH_AXIS
from tdgan_jax.steps.state import Answers, Metrics, Parameters, average_over_devices

RECOGNISER = "emotion_recogniser"


class TrainState(NamedTuple):
    """Everything that training changes, and what it takes from the training labels.

    Attributes:
        parameters: Part (`EmotionGCN`'s fields) to its tree: what is trained, running averages and
            constants.
        optimizer_state: Of what is trained.
        class_weights: float32 `[C]`, of the cross-entropy.
        step: int32 scalar, steps done since the start.
    """

    parameters: dict[str, Parameters]
    optimizer_state: optax.OptState
    class_weights: jax.Array
    step: jax.Array


class Objective(NamedTuple):
    """Weights of the two losses.

    Attributes:
        expression_weight: Of the cross-entropy.
        affect_weight: lambda, of 1 minus the mean concordance of valence and arousal.
    """

    expression_weight: float = 1.0
    affect_weight: float = 1.0


class Setup(NamedTuple):
    """What stays the same over a training.

    Attributes:
        networks: Definitions of the parts.
        objective: Weights of the losses.
        optimizer: Of the network.
        normalisation: Of the images.
        has_global_statistics: Whether the batch norms see the whole batch, or each device's part.
        axis_name: Mapped axis whose devices hold parts of a batch; None without one.
    """

    networks: Definitions
    objective: Objective
    optimizer: optax.GradientTransformationExtraArgs
    normalisation: Normalisation = Normalisation()
    has_global_statistics: bool = True
    axis_name: str | None = BATCH_AXIS


def init_state(setup: Setup, parameters: dict[str, Parameters], *, num_classes: int) -> TrainState:
    """State at step 0, with all classes of the same weight."""
    trained, _ = separate_all(
        {"network": setup.networks.network}, {"network": parameters["network"]}
    )
    return TrainState(
        parameters=parameters,
        optimizer_state=setup.optimizer.init(trained),
        class_weights=jnp.ones(num_classes),
        step=jnp.zeros((), jnp.int32),
    )


def expression_weights(setup: Setup, target: jax.Array, class_weights: jax.Array) -> jax.Array:
    """Weight of each example in the cross-entropy, mean 1 over the whole batch.

    PyTorch's weighted mean: sum of weighted losses over the sum of the weights. What has no
    expression counts nowhere.

    Args:
        setup: Says which devices share the batch.
        target: `[N, C]`, zeros where unknown, or for padding.
        class_weights: `[C]`.
    """
    weight = (target * class_weights[None]).sum(axis=1)
    mean = average_over_devices(jnp.mean(weight), setup.axis_name)
    return weight / jnp.maximum(mean, 1e-6)


def train_step(setup: Setup, state: TrainState, batch: ImageBatch) -> tuple[TrainState, Metrics]:
    """Runs one whole step.

    Args:
        setup: What stays the same over the training (static).
        state: State before the step.
        batch: This device's part of the batch.

    Returns:
        The new state and the metrics, float32 scalars averaged over the devices.
    """
    objective = setup.objective
    images = normalised(batch.image, setup.normalisation)
    words = word_vectors(setup.networks, state.parameters)
    present = (batch.weight > 0).astype(jnp.float32)
    weight = expression_weights(setup, present[:, None] * batch.target, state.class_weights)

    def loss(networks: dict[str, Any], statistics: BatchStatistics) -> tuple[jax.Array, Metrics]:
        logits, affect = networks["network"](images, words, statistics)
        categorical = distribution_loss(logits, batch.target, weight)
        total = objective.expression_weight * categorical
        metrics = {
            "categorical": categorical,
            "categorical_accuracy": accuracy(logits, batch.expression_label, batch.weight),
        }
        if affect is not None:
            continuous = concordance_loss(
                affect, batch.affect, batch.weight, axis_name=setup.axis_name
            )
            total += objective.affect_weight * continuous
            metrics["continuous"] = continuous
        return total, metrics

    learned = updated(
        {"network": setup.networks.network},
        setup.optimizer,
        {"network": state.parameters["network"]},
        state.optimizer_state,
        loss,
        example_weight=batch.weight,
        steps_per_epoch=batch.steps_per_epoch[0],
        axis_name=setup.axis_name,
        has_global_statistics=setup.has_global_statistics,
    )
    state = state._replace(
        parameters=state.parameters | learned.weights,
        optimizer_state=learned.optimizer_state,
        step=state.step + 1,
    )
    return state, learned.metrics


def word_vectors(networks: Definitions, parameters: Mapping[str, Parameters]) -> jax.Array | None:
    """The word vectors of a model; None of a baseline."""
    if networks.word_vectors is None:
        return None
    return nnx.merge(networks.word_vectors, parameters["word_vectors"]).vectors[...]


def predict(
    networks: Definitions,
    normalisation: Normalisation,
    parameters: Mapping[str, Parameters],
    images: jax.Array,
) -> Prediction:
    """What a model says of images.

    Args:
        networks: Definitions of the parts.
        normalisation: Of the images.
        parameters: Part to tree.
        images: uint8 or float32 in [0, 1], `[N, S, S, channels]`.
    """
    network = nnx.merge(networks.network, parameters["network"])
    return network(normalised(images, normalisation), word_vectors(networks, parameters))


def eval_step(
    networks: Definitions,
    normalisation: Normalisation,
    parameters: Mapping[str, Parameters],
    images: jax.Array,
) -> dict[str, Answers]:
    """Answers of the one recogniser; arguments as of `predict`."""
    logits, affect = predict(networks, normalisation, parameters, images)
    return {RECOGNISER: Answers(logits, affect=affect)}


def features(
    networks: Definitions,
    normalisation: Normalisation,
    parameters: Mapping[str, Parameters],
    images: jax.Array,
) -> jax.Array:
    """The image feature, `[N, F]`; arguments as of `predict`."""
    network = nnx.merge(networks.network, parameters["network"])
    return network.features(normalised(images, normalisation))

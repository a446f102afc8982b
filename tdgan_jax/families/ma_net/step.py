"""One training step of MA-Net, as a per-device function.

The loss is beta times the cross-entropy of the local branch and 1 - beta times that of the global
one, and the diversity terms (spec ESR and MA-Net, C.3).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from tdgan_jax.data.image_feed import ImageBatch
from tdgan_jax.families.ma_net.diversity import diversity_terms
from tdgan_jax.families.ma_net.networks import (
    LOCAL_SHARE,
    Definitions,
    MaNetOutput,
    mixed_logits,
)
from tdgan_jax.losses import Diversity, accuracy, distribution_loss
from tdgan_jax.networks.batch_norm import BatchStatistics
from tdgan_jax.networks.normalisation import Normalisation, normalised
from tdgan_jax.steps.learning import TrainState, separate_all, updated
from tdgan_jax.steps.parallel import BATCH_AXIS
from tdgan_jax.steps.state import Answers, Metrics, Parameters

RECOGNISERS = ("classifier", "local_branch", "global_branch")


class Setup(NamedTuple):
    """What stays the same over a training.

    Attributes:
        networks: Definition of the network.
        optimizer: Of all its weights.
        diversity: Options of the diversity terms; None: there are none.
        diversity_weight: Of their sum.
        normalisation: Of the images.
        has_global_statistics: Whether the batch norms see the whole batch or each device's part.
        axis_name: Mapped axis to average gradients and metrics over; None without one.
    """

    networks: Definitions
    optimizer: optax.GradientTransformationExtraArgs
    diversity: Diversity | None = None
    diversity_weight: float = 1.0
    normalisation: Normalisation = Normalisation()
    has_global_statistics: bool = True
    axis_name: str | None = BATCH_AXIS


def init_state(setup: Setup, parameters: dict[str, Parameters]) -> TrainState:
    """State at step 0."""
    trained, _ = separate_all(setup.networks._asdict(), parameters)
    return TrainState(parameters, setup.optimizer.init(trained), jnp.zeros((), jnp.int32))


def ma_net_loss(output: MaNetOutput, batch: ImageBatch, setup: Setup) -> tuple[jax.Array, Metrics]:
    """The loss of this device's part of a batch, and the metrics."""
    local, whole = (
        distribution_loss(logits, batch.target, batch.weight)
        for logits in (output.local_logits, output.global_logits)
    )
    recognition = LOCAL_SHARE * local + (1 - LOCAL_SHARE) * whole
    metrics = {
        "classifier": recognition,
        "classifier_local": local,
        "classifier_global": whole,
        "classifier_accuracy": accuracy(mixed_logits(output), batch.expression_label, batch.weight),
    }
    if setup.diversity is None:
        return recognition, metrics
    terms = diversity_terms(output, batch.weight, setup.diversity, axis_name=setup.axis_name)
    metrics |= {f"diversity_{name}": term for name, term in terms.items()}
    total = sum(terms.values(), start=jnp.zeros(()))
    return recognition + setup.diversity_weight * total, metrics


def train_step(setup: Setup, state: TrainState, batch: ImageBatch) -> tuple[TrainState, Metrics]:
    """Runs one whole step.

    Args:
        setup: What stays the same over the training (static).
        state: State before the step.
        batch: This device's part of the batch.

    Returns:
        The new state and the metrics, float32 scalars averaged over the devices.
    """
    images = normalised(batch.image, setup.normalisation)

    def loss(networks: dict[str, Any], statistics: BatchStatistics) -> tuple[jax.Array, Metrics]:
        return ma_net_loss(networks["network"](images, statistics), batch, setup)

    learned = updated(
        setup.networks._asdict(),
        setup.optimizer,
        state.parameters,
        state.optimizer_state,
        loss,
        example_weight=batch.weight,
        steps_per_epoch=batch.steps_per_epoch[0],
        axis_name=setup.axis_name,
        has_global_statistics=setup.has_global_statistics,
    )
    return TrainState(learned.weights, learned.optimizer_state, state.step + 1), learned.metrics


def look(
    networks: Definitions,
    normalisation: Normalisation,
    parameters: Mapping[str, Parameters],
    images: jax.Array,
) -> MaNetOutput:
    """What the network makes of images in evaluation mode.

    Args:
        networks: Definition of the network.
        normalisation: Of the images.
        parameters: The tree by the name `network`.
        images: uint8 or float32 in [0, 1], `[N, S, S, channels]`.
    """
    return nnx.merge(networks.network, parameters["network"])(normalised(images, normalisation))


def eval_step(
    networks: Definitions,
    normalisation: Normalisation,
    parameters: Mapping[str, Parameters],
    images: jax.Array,
) -> dict[str, Answers]:
    """Answers of the `classifier`, and of each branch alone; arguments as of `look`."""
    output = look(networks, normalisation, parameters, images)
    logits = (mixed_logits(output), output.local_logits, output.global_logits)
    return {name: Answers(scores) for name, scores in zip(RECOGNISERS, logits, strict=True)}

"""One training step of IF-GAN (spec IF-GAN 7), as a per-device function.

The order: the generator draws once; the discriminator learns from true and drawn pairs; generator
and classifier learn together from the discriminator's judgement, the distance to the average face
and the classification of both tuples; the centres move. Running averages move once a step: the
generator's by its one pass, the discriminator's by its own update, the classifier's as
`Objective.classifier_statistics` says. The baseline consists of the classifier's update alone.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from tdgan_jax.families.ifgan.networks import Definitions
from tdgan_jax.families.ifgan.objective import (
    Batch,
    Island,
    Objective,
    classification_loss,
    discriminator_loss,
    drawing_loss,
    to_symmetric_range,
    to_unit_range,
)
from tdgan_jax.networks.batch_norm import BatchStatistics, batch_statistics
from tdgan_jax.steps.parallel import BATCH_AXIS
from tdgan_jax.steps.state import (
    Answers,
    Metrics,
    Parameters,
    average_over_devices,
    running_averages,
    separate,
    together,
)

SAMPLE_COLUMNS = ("input", "generated", "target")
BASELINE_SAMPLE_COLUMNS = ("input",)


class TrainState(NamedTuple):
    """Everything that training changes.

    Attributes:
        parameters: Network name (`IFGAN`'s fields, those that there are) to tree of weights and
            running averages, all that evaluation needs.
        optimizer_states: Network name to state of its own optimiser.
        centres: float32 `[expressions, F]`, the island loss's.
        step: int32 scalar, steps done since the start.
    """

    parameters: dict[str, Parameters]
    optimizer_states: dict[str, optax.OptState]
    centres: jax.Array
    step: jax.Array


class LearningRate(NamedTuple):
    """A learning rate that falls in steps (spec IF-GAN 7).

    Attributes:
        initial: In the first epoch.
        decay: Factor after every `decay_epochs` epochs.
        decay_epochs: Number of epochs.
    """

    initial: float
    decay: float = 0.9
    decay_epochs: int = 10

    def in_epoch(self, epoch: jax.Array) -> jax.Array:
        """The rate of an epoch, counted from 0."""
        return self.initial * self.decay ** (epoch // self.decay_epochs).astype(jnp.float32)


class Setup(NamedTuple):
    """What stays the same over a training.

    Attributes:
        networks: Definitions of the networks.
        objective: Weights and options of the losses.
        optimizers: Network name to its optimiser, which gives changes for a learning rate of 1.
        learning_rates: Network name to its learning rate.
        has_global_statistics: Whether the batch norms see the whole batch, so that results do not
            depend on the number of devices, or each device's part.
        axis_name: Mapped axis to average gradients and metrics over; None without one.
    """

    networks: Definitions
    objective: Objective
    optimizers: Mapping[str, optax.GradientTransformation]
    learning_rates: Mapping[str, LearningRate]
    has_global_statistics: bool = True
    axis_name: str | None = BATCH_AXIS


def make_optimizer(
    *, beta1: float = 0.9, beta2: float = 0.99, weight_decay: float = 1e-4
) -> optax.GradientTransformation:
    """PyTorch's Adam, whose weight decay is added to the gradient, for a learning rate of 1.

    Args:
        beta1: Decay of the mean.
        beta2: Decay of the mean square; the paper's differs from the usual 0.999.
        weight_decay: Of all weights, biases and scales too.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_adam(beta1, beta2, eps=1e-8),
        optax.scale(-1.0),
    )


def init_state(setup: Setup, parameters: dict[str, Parameters], centres: jax.Array) -> TrainState:
    """State at step 0."""
    states = {}
    for name, tree in parameters.items():
        weights, _ = separate(getattr(setup.networks, name), tree)
        states[name] = setup.optimizers[name].init(weights)
    return TrainState(parameters, states, centres, jnp.zeros((), jnp.int32))


def apply_update(
    setup: Setup,
    state: TrainState,
    name: str,
    gradient: Parameters,
    averages: Parameters,
    batch: Batch,
) -> TrainState:
    """One network's optimiser step with the mean gradient, and its new running averages."""
    definition = getattr(setup.networks, name)
    weights, _ = separate(definition, state.parameters[name])
    change, optimizer_state = setup.optimizers[name].update(
        average_over_devices(gradient, setup.axis_name), state.optimizer_states[name], weights
    )
    rate = setup.learning_rates[name].in_epoch(batch.epoch[0])
    changed = jax.tree.map(lambda weight, step: weight + rate * step, weights, change)
    if not setup.has_global_statistics and setup.axis_name is not None:
        # A device counts by its examples, which all have the same weight when nothing is padded.
        share = jnp.mean(batch.weight)
        averages = jax.lax.pmean(jax.tree.map(lambda x: share * x, averages), setup.axis_name)
    return state._replace(
        parameters=state.parameters | {name: together(definition, changed, averages)},
        optimizer_states=state.optimizer_states | {name: optimizer_state},
    )


def update_discriminator(
    setup: Setup, state: TrainState, batch: Batch, drawn: jax.Array, statistics: BatchStatistics
) -> tuple[TrainState, Metrics]:
    """Updates the discriminator on true pairs and on drawn ones, which are detached."""
    definition = setup.networks.discriminator
    assert definition is not None
    weights, averages = separate(definition, state.parameters["discriminator"])

    def loss(weights):
        value, aux = discriminator_loss(setup.networks, weights, averages, batch, drawn, statistics)
        return setup.objective.discriminator_scale * value, aux

    gradient, (averages, metrics) = jax.grad(loss, has_aux=True)(weights)
    return apply_update(setup, state, "discriminator", gradient, averages, batch), metrics


def update_classifier(
    setup: Setup,
    state: TrainState,
    batch: Batch,
    drawn: jax.Array | None,
    statistics: BatchStatistics,
) -> tuple[TrainState, jax.Array | None, Metrics]:
    """Updates the classifier and moves the centres.

    Returns:
        The state, the gradient of the classifier's losses with respect to the drawn images, and
        metrics.
    """
    weights, averages = separate(setup.networks.classifier, state.parameters["classifier"])
    num_images = jnp.sum(batch.weight > 0).astype(jnp.float32)
    if setup.axis_name is not None:
        num_images = jax.lax.psum(num_images, setup.axis_name)
    island = Island(state.centres, state.step == 0, num_images, setup.axis_name)
    (gradient, drawn_gradient), (averages, centres, metrics) = jax.grad(
        lambda weights, drawn: classification_loss(
            setup.networks, setup.objective, weights, averages, island, batch, drawn, statistics
        ),
        argnums=(0, 1),
        has_aux=True,
    )(weights, drawn)
    state = apply_update(setup, state, "classifier", gradient, averages, batch)
    return state._replace(centres=centres), drawn_gradient, metrics


def update_generator(
    setup: Setup,
    state: TrainState,
    batch: Batch,
    drawn: jax.Array,
    pull_back: Callable[[jax.Array], tuple[Parameters]],
    averages: Parameters,
    discriminator: Parameters,
    classifier_gradient: jax.Array,
    statistics: BatchStatistics,
) -> tuple[TrainState, Metrics]:
    """Updates the generator.

    Args:
        setup: What stays the same.
        state: State after the other updates of the step.
        batch: Images in [-1, 1].
        drawn: I~_AE of the generator's weights from before the step.
        pull_back: Maps a gradient with respect to `drawn` to one of the generator's weights.
        averages: The generator's running averages after drawing.
        discriminator: The judge, which stays as it is.
        classifier_gradient: Gradient of the classifier's losses with respect to `drawn`.
        statistics: What the batch norms take as a batch.
    """
    drawn_gradient, metrics = jax.grad(
        lambda drawn: drawing_loss(
            setup.networks, setup.objective, discriminator, batch, drawn, statistics
        ),
        has_aux=True,
    )(drawn)
    from_classifier = setup.objective.classifier_gradient_weight * classifier_gradient
    (gradient,) = pull_back(drawn_gradient + from_classifier)
    return apply_update(setup, state, "generator", gradient, averages, batch), metrics


def train_step(
    setup: Setup, state: TrainState, batch: Batch, dropout_keys: jax.Array | None
) -> tuple[TrainState, Metrics]:
    """Runs one whole step.

    Args:
        setup: What stays the same over the training (static).
        state: State before the step.
        batch: This device's part of the batch.
        dropout_keys: `[N]` keys of the generator's dropout; None switches it off.

    Returns:
        The new state and the metrics, float32 scalars averaged over the devices.
    """
    batch = batch._replace(
        image=to_symmetric_range(batch.image),
        average_image=to_symmetric_range(batch.average_image),
    )
    axis_name = setup.axis_name if setup.has_global_statistics else None
    statistics = batch_statistics(batch.weight, axis_name=axis_name)
    if setup.networks.generator is None:
        state, _, metrics = update_classifier(setup, state, batch, None, statistics)
    else:
        state, metrics = _update_all(setup, state, batch, dropout_keys, statistics)
    return state._replace(step=state.step + 1), average_over_devices(metrics, setup.axis_name)


def _update_all(
    setup: Setup,
    state: TrainState,
    batch: Batch,
    dropout_keys: jax.Array | None,
    statistics: BatchStatistics,
) -> tuple[TrainState, Metrics]:
    definition = setup.networks.generator
    assert definition is not None
    weights, averages = separate(definition, state.parameters["generator"])

    def draw(weights):
        generator = nnx.merge(definition, weights, averages)
        drawn = generator(batch.image, statistics, dropout_keys=dropout_keys)
        return drawn, running_averages(generator)

    drawn, pull_back, averages = jax.vjp(draw, weights, has_aux=True)
    judge = state.parameters["discriminator"]
    state, metrics = update_discriminator(setup, state, batch, drawn, statistics)
    if setup.objective.discriminator_order == "first":
        judge = state.parameters["discriminator"]
    state, classifier_gradient, reported = update_classifier(setup, state, batch, drawn, statistics)
    assert classifier_gradient is not None
    metrics |= reported
    state, reported = update_generator(
        setup, state, batch, drawn, pull_back, averages, judge, classifier_gradient, statistics
    )
    return state, metrics | reported


def draw_average_faces(
    networks: Definitions, parameters: Mapping[str, Parameters], images: jax.Array
) -> jax.Array:
    """I~_AE `[N, S, S, C]` in [-1, 1] of images in the same range, in evaluation mode."""
    assert networks.generator is not None
    return nnx.merge(networks.generator, parameters["generator"])(images)


def eval_step(
    networks: Definitions, parameters: Mapping[str, Parameters], images: jax.Array
) -> dict[str, Answers]:
    """Answers of the classifier on {I_SE, G(I_SE)}; no label enters (spec IF-GAN 1).

    Args:
        networks: Definitions of the networks.
        parameters: Network name to tree of weights and running averages.
        images: uint8 or float32 in [0, 1], `[N, S, S, C]`.

    Returns:
        Scores are the logits `[N, expressions]` of the `classifier`.
    """
    images = to_symmetric_range(images)
    drawn = None
    if networks.generator is not None:
        drawn = draw_average_faces(networks, parameters, images)
    classifier = nnx.merge(networks.classifier, parameters["classifier"])
    return {"classifier": Answers(classifier(images, drawn).logits)}


def sample_step(
    networks: Definitions, parameters: Mapping[str, Parameters], batch: Batch
) -> dict[str, jax.Array]:
    """Input, generated average face and target, float32 `[N, S, S, C]` in [0, 1]."""
    images = to_symmetric_range(batch.image)
    columns = {"input": to_unit_range(images)}
    if networks.generator is not None:
        columns["generated"] = to_unit_range(draw_average_faces(networks, parameters, images))
        columns["target"] = to_unit_range(to_symmetric_range(batch.average_image))
    return columns

"""One training step of TDGAN (spec TDGAN 4 and 5), as a per-device function.

The order is that of the released program: expression head, face discriminator when due,
expression discriminator when due, generator. What is computed with which weights:

* the generator's passes all use its weights from before the step, so the first pass is computed
  once, with its pullback kept for the generator's update;
* the adversarial losses use the discriminators as just updated;
* the perceptual target is the face discriminator's feature from before its update.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from tdgan_jax.families.tdgan.critics import (
    Critics,
    identity_adversary_loss,
    other_labels,
    realism_critic_loss,
)
from tdgan_jax.families.tdgan.networks import Definitions
from tdgan_jax.families.tdgan.objective import (
    Batch,
    FirstPass,
    Objective,
    Randomness,
    expression_discriminator_loss,
    expression_head_loss,
    face_discriminator_loss,
    generate,
    generator_loss,
    reconstruct,
)
from tdgan_jax.networks.layers import to_unit_range
from tdgan_jax.steps.parallel import BATCH_AXIS
from tdgan_jax.steps.state import (
    Answers,
    Metrics,
    Parameters,
    TrainState,
    average_over_devices,
    init_state,
)

SAMPLE_COLUMNS = ("face", "expression", "generated", "face again", "expression again")
GENERATOR = ("decoder", "face_encoder", "expression_encoder")


class Setup(NamedTuple):
    """What stays the same over a training.

    Attributes:
        networks: Definitions of the six networks.
        objective: Weights and options of the losses.
        optimizers: Network name to its optimiser.
        axis_name: Mapped axis to average gradients and metrics over; None without one.
        critics: Definitions of the critics that this training has.
    """

    networks: Definitions
    objective: Objective
    optimizers: Mapping[str, optax.GradientTransformation]
    axis_name: str | None = BATCH_AXIS
    critics: Critics = Critics()


class StateWithCritics(NamedTuple):
    """The state of a training with critics, which are no part of the model.

    Attributes:
        parameters: As of `TrainState`.
        optimizer_states: As of `TrainState`, the critics' too.
        step: As of `TrainState`.
        critics: Critic to parameter tree.
    """

    parameters: dict[str, Parameters]
    optimizer_states: dict[str, optax.OptState]
    step: jax.Array
    critics: dict[str, Parameters]


State: TypeAlias = TrainState | StateWithCritics


def begin_state(
    setup: Setup, parameters: dict[str, Parameters], critics: dict[str, Parameters]
) -> State:
    """State at step 0."""
    state = init_state(parameters | critics, setup.optimizers)
    if not critics:
        return state
    return StateWithCritics(parameters, state.optimizer_states, state.step, critics)


class Updates(NamedTuple):
    """Which networks one step updates besides the expression head.

    With `classifier_alone` it is the expression encoder and no other one.
    """

    generator: bool
    face_discriminator: bool
    expression_discriminator: bool
    classifier_alone: bool = False


def apply_gradient(setup: Setup, state: State, name: str, gradient: Parameters) -> State:
    """Averages one network's gradient over the devices and takes its optimiser's step."""
    field = "parameters" if name in state.parameters else "critics"
    trees = getattr(state, field)
    change, optimizer_state = setup.optimizers[name].update(
        average_over_devices(gradient, setup.axis_name), state.optimizer_states[name], trees[name]
    )
    changed: dict[str, Any] = {field: trees | {name: optax.apply_updates(trees[name], change)}}
    return state._replace(
        optimizer_states=state.optimizer_states | {name: optimizer_state}, **changed
    )


def update_classifier(
    setup: Setup, state: State, batch: Batch, randomness: Randomness
) -> tuple[State, Metrics]:
    """Updates expression encoder and head on labels alone: a step of the plain classifier."""
    names = ("expression_encoder", "expression_head")

    def loss(weights: dict[str, Parameters]) -> tuple[jax.Array, Metrics]:
        encoder = nnx.merge(setup.networks.expression_encoder, weights["expression_encoder"])
        return expression_head_loss(
            setup.networks,
            weights["expression_head"],
            encoder(batch.expression_image),
            batch,
            randomness.dropout_keys["expression_head"],
        )

    gradient, metrics = jax.grad(loss, has_aux=True)({k: state.parameters[k] for k in names})
    for name in names:
        state = apply_gradient(setup, state, name, gradient[name])
    return state, metrics


def update_expression_head(
    setup: Setup, state: State, batch: Batch, randomness: Randomness, first: FirstPass
) -> tuple[State, jax.Array, Metrics]:
    """Updates the expression head on fixed features (spec TDGAN 4, step 5).

    Returns:
        The state, the loss's gradient with respect to the features, and metrics.
    """
    (gradient, feature_gradient), metrics = jax.grad(
        lambda head, feature: expression_head_loss(
            setup.networks, head, feature, batch, randomness.dropout_keys["expression_head"]
        ),
        argnums=(0, 1),
        has_aux=True,
    )(state.parameters["expression_head"], first.expression_feature)
    return apply_gradient(setup, state, "expression_head", gradient), feature_gradient, metrics


def update_face_discriminator(
    setup: Setup, state: State, batch: Batch, randomness: Randomness, generated: jax.Array
) -> tuple[State, jax.Array, Metrics]:
    """Updates the face discriminator (spec TDGAN 4, step 7).

    Returns:
        The state, the feature of the real faces before the update, and metrics.
    """
    gradient, (real_feature, metrics) = jax.grad(
        lambda weights: face_discriminator_loss(
            setup.networks, weights, generated, batch, randomness
        ),
        has_aux=True,
    )(state.parameters["face_discriminator"])
    return apply_gradient(setup, state, "face_discriminator", gradient), real_feature, metrics


def update_expression_discriminator(
    setup: Setup, state: State, batch: Batch, randomness: Randomness
) -> tuple[State, Metrics]:
    """Updates the expression discriminator on real images alone (spec TDGAN 4, step 8)."""
    gradient, metrics = jax.grad(
        lambda weights: expression_discriminator_loss(
            setup.networks, setup.objective, weights, batch, randomness
        ),
        has_aux=True,
    )(state.parameters["expression_discriminator"])
    return apply_gradient(setup, state, "expression_discriminator", gradient), metrics


def update_critics(
    setup: Setup, state: State, batch: Batch, first: FirstPass
) -> tuple[State, Metrics]:
    """Updates the critics of this training."""
    losses = {
        "realism_critic": lambda critic: realism_critic_loss(
            critic,
            batch.expression_image,
            first.generated,
            batch.expression_label,
            other_labels(batch.expression_label, batch.position, critic.expressions.shape[0]),
            batch.weight,
            gradient_penalty=setup.objective.realism_gradient_penalty,
        ),
        "identity_adversary": lambda critic: identity_adversary_loss(
            critic, first.expression_feature_of_face, batch.face_identity, batch.weight
        ),
    }
    metrics = {}
    for name, definition in setup.critics._asdict().items():
        if definition is None:
            continue

        def loss(weights: Parameters, name: str = name, definition: Any = definition) -> Any:
            return losses[name](nnx.merge(definition, weights))

        gradient, reported = jax.grad(loss, has_aux=True)(_critics_of(state)[name])
        state = apply_gradient(setup, state, name, gradient)
        metrics |= reported
    return state, metrics


def _critics_of(state: State) -> dict[str, Parameters]:
    return state.critics if isinstance(state, StateWithCritics) else {}


def update_generator(
    setup: Setup,
    state: State,
    batch: Batch,
    randomness: Randomness,
    first: FirstPass,
    pull_back: Callable[[FirstPass], tuple[dict[str, Parameters]]],
    perceptual_target: jax.Array,
    label_gradient: jax.Array,
) -> tuple[State, Metrics]:
    """Updates decoder and both encoders (spec TDGAN 4, steps 9 to 12).

    The discriminators of `state` judge and stay as they are; the generator's weights have not
    changed since pass 1.

    Args:
        setup: What stays the same.
        state: State after the other updates of the step.
        batch: Images in [0, 1].
        randomness: Noise and dropout keys.
        first: Results of pass 1.
        pull_back: Maps a gradient with respect to `first` to one of the generator's weights.
        perceptual_target: Feature of the real faces.
        label_gradient: Gradient of the head's loss with respect to `first.expression_feature`.
    """
    critics = Critics(
        **{
            name: nnx.merge(getattr(setup.critics, name), weights)
            for name, weights in _critics_of(state).items()
        }
    )
    generator = {name: state.parameters[name] for name in GENERATOR}
    (late_gradient, first_gradient), metrics = jax.grad(
        lambda weights, first: generator_loss(
            setup.networks,
            setup.objective,
            weights,
            first,
            state.parameters,
            perceptual_target,
            batch,
            randomness,
            critics=critics,
        ),
        argnums=(0, 1),
        has_aux=True,
    )(generator, first)
    if setup.objective.label_gradient_weight:
        into_encoder = setup.objective.label_gradient_weight * label_gradient
        first_gradient = first_gradient._replace(
            expression_feature=first_gradient.expression_feature + into_encoder
        )
    (early_gradient,) = pull_back(first_gradient)
    total_gradient = jax.tree.map(jnp.add, early_gradient, late_gradient)
    for name in GENERATOR:
        state = apply_gradient(setup, state, name, total_gradient[name])
    return state, metrics


def train_step(
    setup: Setup, updates: Updates, state: State, batch: Batch, randomness: Randomness
) -> tuple[State, Metrics]:
    """Runs one whole step in the order of the released program (spec TDGAN 4).

    Args:
        setup: What stays the same over the training (static).
        updates: Which networks are due (static).
        state: State before the step.
        batch: This device's part of the batch.
        randomness: Noise and dropout keys of this part.

    Returns:
        The new state and the metrics, float32 scalars averaged over the devices.
    """
    batch = batch._replace(
        face_image=to_unit_range(batch.face_image),
        expression_image=to_unit_range(batch.expression_image),
    )
    if updates.classifier_alone:
        state, metrics = update_classifier(setup, state, batch, randomness)
        return state._replace(step=state.step + 1), average_over_devices(metrics, setup.axis_name)
    generator = {name: state.parameters[name] for name in GENERATOR}
    first, pull_back = jax.vjp(
        lambda weights: generate(setup.networks, weights, batch, randomness.noises[0]), generator
    )
    state, label_gradient, metrics = update_expression_head(setup, state, batch, randomness, first)
    perceptual_target = first.face_feature
    uses_face_discriminator = setup.objective.perceptual_network == "face_discriminator"
    if updates.face_discriminator:
        state, real_feature, reported = update_face_discriminator(
            setup, state, batch, randomness, first.generated
        )
        metrics |= reported
        if uses_face_discriminator:
            perceptual_target = real_feature
    elif uses_face_discriminator:
        weights = state.parameters["face_discriminator"]
        face_discriminator = nnx.merge(setup.networks.face_discriminator, weights)
        perceptual_target = face_discriminator.encoder(batch.face_image)
    if updates.expression_discriminator:
        state, reported = update_expression_discriminator(setup, state, batch, randomness)
        metrics |= reported
    state, reported = update_critics(setup, state, batch, first)
    metrics |= reported
    if updates.generator:
        state, reported = update_generator(
            setup,
            state,
            batch,
            randomness,
            first,
            pull_back,
            jax.lax.stop_gradient(perceptual_target),
            label_gradient,
        )
        metrics |= reported
    return state._replace(step=state.step + 1), average_over_devices(metrics, setup.axis_name)


def eval_step(
    networks: Definitions, parameters: Mapping[str, Parameters], images: jax.Array
) -> dict[str, Answers]:
    """Answers of both recognisers, without dropout.

    Args:
        networks: Definitions of the six networks.
        parameters: Network name to parameter tree.
        images: uint8 or float32 in [0, 1], `[N, S, S, C]`.

    Returns:
        Scores are the logits `[N, expressions]` of the `expression_module` (encoder and head) and
        of the `expression_discriminator`.
    """
    images = to_unit_range(images)

    def network(name: str) -> Any:
        return nnx.merge(getattr(networks, name), parameters[name])

    feature = network("expression_encoder")(images)
    return {
        "expression_module": Answers(network("expression_head")(feature)),
        "expression_discriminator": Answers(network("expression_discriminator")(images).logits),
    }


def sample_step(
    networks: Definitions,
    parameters: Mapping[str, Parameters],
    batch: Batch,
    noises: tuple[jax.Array | None, ...],
) -> dict[str, jax.Array]:
    """The five columns of the sample sheet (spec TDGAN 7), float32 `[N, S, S, C]` in [0, 1]."""
    batch = batch._replace(
        face_image=to_unit_range(batch.face_image),
        expression_image=to_unit_range(batch.expression_image),
    )
    generator = {name: parameters[name] for name in GENERATOR}
    first = generate(networks, generator, batch, noises[0])
    face_again, expression_again = reconstruct(networks, generator, batch, first, noises[1:])
    images = (
        batch.face_image,
        batch.expression_image,
        first.generated,
        face_again,
        expression_again,
    )
    return dict(zip(SAMPLE_COLUMNS, images, strict=True))

"""TDGAN as the loop sees it: networks, losses and schedule from a configuration."""

from functools import partial
from typing import Any

import jax
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.errors import UsageError
from tdgan_jax.families.family import Names, Stage, Training, set_configured_execution
from tdgan_jax.families.tdgan.critics import (
    Critics,
    IdentityAdversary,
    RealismCritic,
    split_critics,
)
from tdgan_jax.families.tdgan.first_weights import with_classifier_weights, with_expression_branch
from tdgan_jax.families.tdgan.networks import TDGAN, make_tdgan, split_networks
from tdgan_jax.families.tdgan.objective import Batch, Objective, draw_randomness
from tdgan_jax.families.tdgan.step import (
    SAMPLE_COLUMNS,
    Setup,
    State,
    Updates,
    begin_state,
    eval_step,
    sample_step,
    train_step,
)
from tdgan_jax.networks.inception import ENCODER_STRIDE, make_encoder, scaled
from tdgan_jax.steps.optimisers import adam_of_networks

PERCEPTUAL_NETWORKS = ("face_discriminator", "face_encoder")


def tdgan_networks(
    config: Config, *, num_identities: int, num_expressions: int, rngs: nnx.Rngs
) -> TDGAN:
    """The networks of a configuration.

    Raises:
        UsageError: If a size is impossible.
    """
    try:
        return make_tdgan(
            num_identities=num_identities,
            num_expressions=num_expressions,
            rngs=rngs,
            **config.model.to_dict(),
        )
    except ValueError as error:
        raise UsageError(f"config.model: {error}") from error


def configured_critics(
    config: Config,
    *,
    feature_shape: tuple[int, int, int],
    num_identities: int,
    num_expressions: int,
    rngs: nnx.Rngs,
) -> Critics:
    """The critics whose losses a configuration gives a weight; None for the others."""
    loss, model = config.loss, config.model
    realism = adversary = None
    if loss.realism_weight:
        realism = RealismCritic(
            make_encoder(
                image_channels=model.image_channels,
                width_multiplier=model.width_multiplier,
                num_blocks=model.num_inception_blocks,
                rngs=rngs,
            ),
            feature_shape=feature_shape,
            num_expressions=num_expressions,
            rngs=rngs,
        )
    if loss.identity_confusion_weight:
        adversary = IdentityAdversary(
            feature_shape=feature_shape, num_identities=num_identities, rngs=rngs
        )
    return Critics(realism, adversary)


def updates_due(config: Config, step: int, step_in_epoch: int, epoch: int = 0) -> Updates:
    """Which networks a step updates besides the expression head (spec TDGAN 4).

    Args:
        config: The configuration.
        step: Steps done before, over the whole run; decides about the warm-up.
        step_in_epoch: Steps done before in this epoch; decides about the gaps.
        epoch: Epochs done before; decides whether the classifier learns alone.
    """
    if epoch < config.training.classifier_epochs:
        return Updates(False, False, False, classifier_alone=True)
    if step < config.training.discriminator_warmup_steps:
        return Updates(generator=False, face_discriminator=True, expression_discriminator=True)
    return Updates(
        generator=True,
        face_discriminator=step_in_epoch % config.training.face_discriminator_gap == 0,
        expression_discriminator=step_in_epoch % config.training.expression_discriminator_gap == 0,
    )


def classifier_stages(training: Config) -> tuple[Stage, ...]:
    """The classifier alone and what follows it; none where it does not begin alone.

    Raises:
        UsageError: If nothing would follow, or the first steps were those of something else too.
    """
    alone = training.classifier_epochs
    if not alone:
        return ()
    if alone >= training.epochs:
        raise UsageError(
            f"training.classifier_epochs is {alone}; it must be less than training.epochs, "
            f"{training.epochs}"
        )
    if training.discriminator_warmup_steps:
        raise UsageError(
            "training.discriminator_warmup_steps are the first of all steps, which here are the "
            "classifier's; set it or training.classifier_epochs to 0"
        )
    return Stage("classifier", alone), Stage("adversarial", training.epochs - alone)


def begin_adversarial_stage(setup: Setup, state: State, stage: int, best: Any) -> State:
    """Goes on from the best classifier, with optimisers that remember nothing.

    Args:
        setup: Optimisers and definitions.
        state: The state at the end of the classifier's stage, on the host.
        stage: Not used.
        best: The parameters of the stage's best epoch.

    Returns:
        The state in which the expression branch, the expression discriminator and the realism
        critic's encoder have the classifier's weights.
    """
    del stage
    branch = (best["expression_encoder"], best["expression_head"])
    begun = with_expression_branch(state, *branch)
    fresh = begin_state(setup, begun.parameters, getattr(begun, "critics", {}))
    return begun._replace(optimizer_states=jax.device_get(fresh.optimizer_states))


def tdgan_training(config: Config, names: Names) -> Training:
    """Makes TDGAN's functions for the loop.

    Args:
        config: The configuration.
        names: The people of the face branch and the expressions.

    Raises:
        UsageError: If a value of the configuration is impossible.
    """
    objective = Objective(**config.loss.to_dict())
    if objective.perceptual_network not in PERCEPTUAL_NETWORKS:
        raise UsageError(
            f"loss.perceptual_network is {objective.perceptual_network!r}; "
            f"known: {', '.join(PERCEPTUAL_NETWORKS)}"
        )
    if objective.realism_gradient_penalty and not objective.realism_weight:
        raise UsageError("loss.realism_gradient_penalty needs loss.realism_weight above 0")
    for gap in ("face_discriminator_gap", "expression_discriminator_gap"):
        if config.training[gap] < 1:
            raise UsageError(f"training.{gap} must be at least 1, got {config.training[gap]}")
    make = partial(
        tdgan_networks,
        config,
        num_identities=len(names.identities),
        num_expressions=len(names.expressions),
    )
    shapes = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    networks, _ = split_networks(shapes)
    set_configured_execution(config, shapes)
    trained, _ = split_networks(shapes)
    feature_size = config.model.image_size_px // ENCODER_STRIDE
    make_critics = partial(
        configured_critics,
        config,
        feature_shape=(feature_size, feature_size, scaled(128, config.model.width_multiplier)),
        num_identities=len(names.identities),
        num_expressions=len(names.expressions),
    )
    critic_shapes = nnx.eval_shape(lambda: make_critics(rngs=nnx.Rngs(0)))
    set_configured_execution(config, critic_shapes)
    critics, _ = split_critics(critic_shapes)
    setup = Setup(
        trained,
        objective,
        adam_of_networks(config.learning_rate.to_dict()),
        critics=critics,
    )
    noise_shape = (feature_size, feature_size, config.model.noise_channels)

    given = config.training.classifier_run

    def initialise(key: jax.Array) -> State:
        _, parameters = split_networks(make(rngs=nnx.Rngs(key)))
        _, trees = split_critics(make_critics(rngs=nnx.Rngs(jax.random.fold_in(key, 1))))
        return begin_state(setup, parameters, trees)

    def step(updates: Updates, state: State, batch: Batch, key: jax.Array):
        step_key = jax.random.fold_in(key, state.step)
        randomness = draw_randomness(step_key, batch.position, noise_shape)
        return train_step(setup, updates, state, batch, randomness)

    def sample(parameters: Any, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
        noises = draw_randomness(key, batch.position, noise_shape).noises
        return sample_step(networks, parameters, batch, noises)

    return Training(
        recognisers=("expression_module", "expression_discriminator"),
        init_state=initialise,
        updates_due=partial(updates_due, config),
        train_step=step,
        eval_step=partial(eval_step, networks),
        sample_columns=SAMPLE_COLUMNS,
        sample_step=sample,
        shown_losses=("generator", "expression_head"),
        stages=classifier_stages(config.training),
        begin_stage=partial(begin_adversarial_stage, setup),
        with_given_weights=given and partial(with_classifier_weights, given, names.expressions),
    )

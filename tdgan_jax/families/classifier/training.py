"""The plain classifier as the loop sees it: networks and loss from a configuration."""

from functools import partial
from typing import Any

import jax
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.data.image_feed import ImageBatch
from tdgan_jax.errors import UsageError
from tdgan_jax.families.classifier.first_weights import with_initial_model
from tdgan_jax.families.classifier.networks import Classifier, make_classifier, split_networks
from tdgan_jax.families.classifier.step import (
    Objective,
    Setup,
    TrainState,
    eval_step,
    init_state,
    train_step,
)
from tdgan_jax.families.family import Names, Training, set_configured_execution
from tdgan_jax.families.image_training import (
    INPUT_COLUMN,
    configured_optimizer,
    has_global_statistics,
    input_images,
    normalisation_of,
)


def classifier_networks(config: Config, *, num_expressions: int, rngs: nnx.Rngs) -> Classifier:
    """Encoder and head of a configuration.

    Raises:
        UsageError: If a size is impossible.
    """
    try:
        return make_classifier(num_expressions=num_expressions, rngs=rngs, **config.model.to_dict())
    except ValueError as error:
        raise UsageError(f"config.model: {error}") from error


def check_options(config: Config) -> None:
    """Refuses options that are out of range.

    Raises:
        UsageError: Names the field.
    """
    for field, value in (
        ("loss.label_smoothing", config.loss.label_smoothing),
        ("training.parameter_average_decay", config.training.parameter_average_decay),
    ):
        if not 0 <= value < 1:
            raise UsageError(f"{field} must be in [0, 1), got {value}")
    if not 0 <= config.loss.class_weighting_exponent <= 1:
        raise UsageError(
            "loss.class_weighting_exponent must be in [0, 1], got "
            f"{config.loss.class_weighting_exponent}"
        )
    has_global_statistics(config)


def classifier_setup(config: Config, networks: Classifier) -> Setup:
    """What stays the same over a training.

    Raises:
        UsageError: If a value of the configuration is impossible.
    """
    check_options(config)
    definitions, _ = split_networks(networks)
    return Setup(
        networks=definitions,
        objective=Objective(**config.loss.to_dict()),
        optimizer=configured_optimizer(config, epochs=config.training.epochs),
        normalisation=normalisation_of(config),
        parameter_average_decay=config.training.parameter_average_decay,
        has_global_statistics=has_global_statistics(config),
    )


def classifier_training(config: Config, names: Names) -> Training:
    """Makes the classifier's functions for the loop.

    Args:
        config: The configuration.
        names: The expressions; there are no identities.

    Raises:
        UsageError: If a value of the configuration is impossible.
    """
    num_expressions = len(names.expressions)
    make = partial(classifier_networks, config, num_expressions=num_expressions)
    shapes = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    networks, _ = split_networks(shapes)
    set_configured_execution(config, shapes)
    setup = classifier_setup(config, shapes)

    def initialise(key: jax.Array) -> TrainState:
        _, weights = split_networks(make(rngs=nnx.Rngs(key)))
        return init_state(setup, weights, num_classes=num_expressions)

    def step(updates: Any, state: TrainState, batch: ImageBatch, key: jax.Array):
        del updates
        step_key = jax.random.fold_in(key, state.step)
        keys = jax.vmap(partial(jax.random.fold_in, step_key))(batch.position)
        return train_step(setup, state, batch, keys)

    def sample(parameters: Any, batch: ImageBatch, key: jax.Array) -> dict[str, jax.Array]:
        del parameters, key
        return {INPUT_COLUMN: input_images(batch)}

    return Training(
        recognisers=("classifier",),
        init_state=initialise,
        # Every step updates both networks.
        updates_due=lambda *_: (),
        train_step=step,
        eval_step=partial(eval_step, networks, setup.normalisation),
        sample_columns=(INPUT_COLUMN,),
        sample_step=sample,
        shown_losses=("classifier",),
        with_given_weights=partial(with_initial_model, config, names.expressions)
        if config.training.initial_model
        else None,
    )

"""The plain classifier as the loop sees it: networks and loss from a configuration."""

from functools import partial
from typing import Any

import jax
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.errors import UsageError
from tdgan_jax.families.classifier.step import (
    SAMPLE_COLUMNS,
    Classifier,
    Objective,
    Setup,
    TrainState,
    eval_step,
    init_state,
    sample_step,
    split_networks,
    train_step,
)
from tdgan_jax.families.family import Family, set_configured_execution
from tdgan_jax.families.tdgan.networks import make_tdgan
from tdgan_jax.families.tdgan.objective import Batch
from tdgan_jax.families.tdgan.step import make_optimizers


def classifier_networks(config: Config, *, num_expressions: int, rngs: nnx.Rngs) -> Classifier:
    """Encoder and head of a configuration, as TDGAN has them.

    With equal seeds they begin with the weights of a TDGAN whose decoder has the released number of
    residual convolutions.

    Raises:
        UsageError: If a size is impossible.
    """
    try:
        # Under jit the other networks are never computed.
        tdgan = make_tdgan(
            num_identities=1, num_expressions=num_expressions, rngs=rngs, **config.model.to_dict()
        )
    except ValueError as error:
        raise UsageError(f"config.model: {error}") from error
    return Classifier(tdgan.expression_encoder, tdgan.expression_head)


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


def classifier_family(config: Config, *, num_expressions: int) -> Family:
    """Makes the classifier's functions for the loop.

    Args:
        config: The configuration.
        num_expressions: C.

    Raises:
        UsageError: If a value of the configuration is impossible.
    """
    check_options(config)
    make = partial(classifier_networks, config, num_expressions=num_expressions)
    shapes = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    networks, _ = split_networks(shapes)
    set_configured_execution(config, shapes)
    trained, _ = split_networks(shapes)
    setup = Setup(
        trained,
        Objective(**config.loss.to_dict()),
        make_optimizers(config.learning_rate.to_dict()),
        config.training.parameter_average_decay,
    )

    def initialise(key: jax.Array) -> TrainState:
        _, weights = split_networks(make(rngs=nnx.Rngs(key)))
        return init_state(setup, weights, num_classes=num_expressions)

    def step(updates: Any, state: TrainState, batch: Batch, key: jax.Array):
        del updates
        step_key = jax.random.fold_in(key, state.step)
        keys = jax.vmap(partial(jax.random.fold_in, step_key))(batch.position)
        return train_step(setup, state, batch, keys)

    def sample(parameters: Any, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
        del parameters, key
        return sample_step(batch)

    return Family(
        recognisers=("classifier",),
        init_state=initialise,
        # Every step updates both networks.
        updates_due=lambda step, step_in_epoch: (),
        train_step=step,
        eval_step=partial(eval_step, networks),
        sample_columns=SAMPLE_COLUMNS,
        sample_step=sample,
    )

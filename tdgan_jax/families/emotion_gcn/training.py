"""Emotion-GCN as the loop sees it: networks and losses from a configuration."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.data.image_feed import ImageBatch
from tdgan_jax.errors import UsageError
from tdgan_jax.families.emotion_gcn.label_graph import beginning
from tdgan_jax.families.emotion_gcn.networks import EmotionGCN, make_emotion_gcn, split_networks
from tdgan_jax.families.emotion_gcn.step import (
    RECOGNISER,
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
    check_start_weights,
    configured_optimizer,
    has_global_statistics,
    input_images,
    normalisation_of,
)
from tdgan_jax.torch_weights.densenet import read_imagenet_densenet


def networks_of(config: Config, *, num_expressions: int, rngs: nnx.Rngs) -> EmotionGCN:
    """The parts of a configuration's model.

    Raises:
        UsageError: If a size is impossible.
    """
    try:
        return make_emotion_gcn(
            num_expressions=num_expressions, rngs=rngs, **config.model.to_dict()
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"config.model: {error}") from error


def check_given_weights(config: Config) -> None:
    """Refuses a file of weights that a new run cannot begin with.

    Raises:
        UsageError: If the backbone is none of torchvision's.
        UserError: Names the missing file.
    """
    if config.training.start_weights and config.model.backbone != "densenet":
        raise UsageError(
            "training.start_weights is for model.backbone=densenet; a BReG-NeXt begins from scratch"
        )
    check_start_weights(config)


def with_imagenet_weights(path: Path, state: TrainState, load: Any) -> TrainState:
    """A new run's state whose backbone has the weights of a torchvision DenseNet.

    Args:
        path: Its file, with old keys or new.
        state: The state of a new run.
        load: Opens models on disk; the file is none.

    Raises:
        UserError: If the file is unreadable or belongs to another network.
    """
    del load
    network = state.parameters["network"]
    backbone = read_imagenet_densenet(path, network["backbone"])
    network = network | {"backbone": backbone}
    return state._replace(parameters=state.parameters | {"network": network})


def emotion_gcn_training(config: Config, names: Names) -> Training:
    """Makes the functions of Emotion-GCN or a baseline for the loop.

    Args:
        config: The configuration.
        names: The expressions; there are no identities.

    Raises:
        UsageError: If a value of the configuration is impossible.
    """
    num_expressions = len(names.expressions)
    given = config.training.start_weights
    make = partial(networks_of, config, num_expressions=num_expressions)
    shapes = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    networks, _ = split_networks(shapes)
    set_configured_execution(config, shapes)
    setup = Setup(
        networks=networks,
        objective=Objective(config.loss.expression_weight, config.loss.affect_weight),
        optimizer=configured_optimizer(config, epochs=config.training.epochs),
        normalisation=normalisation_of(config),
        has_global_statistics=has_global_statistics(config),
    )

    def initialise(key: jax.Array) -> TrainState:
        _, parameters = split_networks(make(rngs=nnx.Rngs(key)))
        return init_state(setup, parameters, num_classes=num_expressions)

    def step(updates: Any, state: TrainState, batch: ImageBatch, key: jax.Array):
        del updates, key  # nothing is drawn
        return train_step(setup, state, batch)

    def sample(parameters: Any, batch: ImageBatch, key: jax.Array) -> dict[str, jax.Array]:
        del parameters, key
        return {INPUT_COLUMN: input_images(batch)}

    return Training(
        recognisers=(RECOGNISER,),
        init_state=initialise,
        # Every step updates the whole network.
        updates_due=lambda *_: (),
        train_step=step,
        eval_step=partial(eval_step, networks, setup.normalisation),
        sample_columns=(INPUT_COLUMN,),
        sample_step=sample,
        shown_losses=("categorical", "continuous"),
        with_given_weights=partial(with_imagenet_weights, Path(given)) if given else None,
        beginning=partial(beginning, config),
    )

"""ESR as the loop sees it: networks, losses and a stage a branch, from a configuration."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.data.image_feed import ImageBatch
from tdgan_jax.errors import UsageError, unknown_name
from tdgan_jax.families.diversity_options import diversity_of
from tdgan_jax.families.esr.diversity import CHANNEL_SOURCES
from tdgan_jax.families.esr.networks import ESR, make_esr, network_names, split_networks
from tdgan_jax.families.esr.start_weights import with_start_weights
from tdgan_jax.families.esr.step import (
    ENSEMBLE,
    LEARNT,
    PREDICTIONS,
    Setup,
    StageSetup,
    TrainState,
    eval_step,
    first_optimizer_state,
    first_voters,
    init_state,
    look,
    train_step,
)
from tdgan_jax.families.esr.voters import without_voters
from tdgan_jax.families.family import Names, Stage, Training, set_configured_execution
from tdgan_jax.families.image_training import (
    INPUT_COLUMN,
    as_picture,
    configured_optimizer,
    has_global_statistics,
    input_images,
    normalisation_of,
)
from tdgan_jax.losses import MOST_DIVERSE_FEATURES
from tdgan_jax.steps.state import quickly_compiled_key


def esr_networks(config: Config, *, num_expressions: int, rngs: nnx.Rngs) -> ESR:
    """The ensemble of a configuration.

    Raises:
        UsageError: If a size is impossible or an option unknown.
    """
    fields = config.model.to_dict()
    prediction = fields.pop("prediction")
    if prediction not in PREDICTIONS:
        raise unknown_name("model.prediction", prediction, PREDICTIONS)
    try:
        return make_esr(num_expressions=num_expressions, rngs=rngs, **fields)
    except (TypeError, ValueError) as error:
        raise UsageError(f"config.model: {error}") from error


def esr_stages(config: Config) -> tuple[Stage, ...]:
    """A stage a branch.

    Raises:
        UsageError: If their epochs are not those of the training.
    """
    training, num_branches = config.training, config.model.num_branches
    epochs = [training.first_stage_epochs]
    epochs += [training.later_stage_epochs] * (num_branches - 1)
    if sum(epochs) != training.epochs:
        raise UsageError(
            f"training.epochs is {training.epochs}; the stages of {num_branches} branches "
            f"(training.first_stage_epochs, training.later_stage_epochs) have {sum(epochs)}"
        )
    return tuple(Stage(f"branch {i}", count) for i, count in enumerate(epochs, start=1))


def check_options(config: Config) -> None:
    """Refuses options that do not go together.

    Raises:
        UsageError: Names the field.
    """
    model, loss = config.model, config.loss
    if loss.channel_source not in CHANNEL_SOURCES:
        raise unknown_name("loss.channel_source", loss.channel_source, CHANNEL_SOURCES)
    if config.training.learns not in LEARNT:
        raise unknown_name("training.learns", config.training.learns, LEARNT)
    if config.training.learns == LEARNT[1] and not model.has_affect:
        raise UsageError(
            "training.learns is 'affect', and model.has_affect is false: nothing learns it"
        )
    if diversity_of(loss) is None:
        return
    if not model.has_attention:
        raise UsageError(
            f"loss.diversity is {loss.diversity!r}, which compares attentions, and "
            "model.has_attention is false; set one of them, say loss.diversity=none"
        )
    if model.num_branches > MOST_DIVERSE_FEATURES:
        raise UsageError(
            f"loss.diversity takes at most {MOST_DIVERSE_FEATURES} branches, got "
            f"model.num_branches={model.num_branches}"
        )


def stage_setup(config: Config, stage: int, *, epochs: int) -> StageSetup:
    """What is a stage's own: its branches, and an optimiser with their learning rates.

    Args:
        config: The configuration.
        stage: Its number, from 0.
        epochs: Of the stage.

    Raises:
        UsageError: If a value is impossible.
    """
    training, num_branches = config.training, config.model.num_branches
    compares_all = training.all_branches_diverse and diversity_of(config.loss) is not None
    num_learning = stage + 1
    num_compared = num_branches if compares_all else num_learning
    base, *branches = network_names(num_branches)
    factors = {name: training.other_rate_factor for name in branches[:num_compared]}
    factors[branches[stage]] = 1.0
    factors[base] = training.other_rate_factor if stage else training.first_base_rate_factor
    optimizer = configured_optimizer(
        config,
        epochs=epochs,
        learning_rate_factors=tuple(factors.items()),
        frozen=(*branches[num_compared:], *_unlearnt_parts(config)),
    )
    return StageSetup(num_learning, num_compared, optimizer)


def _unlearnt_parts(config: Config) -> list[str]:
    """Paths of what never learns: the head of the other kind, or all but one."""
    base, *branches = network_names(config.model.num_branches)
    if config.training.learns == LEARNT[1]:
        return [base, *(f"{name}/{part}" for name in branches for part in ("blocks", "fc"))]
    return [f"{name}/affect" for name in branches] if config.model.has_affect else []


def begin_stage(setup: Setup, state: TrainState, stage: int, best: Any) -> TrainState:
    """The best weights of the stage before, an optimiser that remembers nothing, a branch more."""
    weights = without_voters(best)
    return state._replace(
        weights=weights,
        optimizer_state=jax.device_get(first_optimizer_state(setup, weights, stage=stage)),
        is_voter=jax.device_get(first_voters(len(setup.stages), stage=stage)),
    )


def esr_training(config: Config, names: Names) -> Training:
    """Makes ESR's functions for the loop.

    Args:
        config: The configuration.
        names: The expressions; there are no identities.

    Raises:
        UsageError: If a value of the configuration is impossible.
    """
    make = partial(esr_networks, config, num_expressions=len(names.expressions))
    shapes = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    set_configured_execution(config, [shapes.base, *shapes.branches])
    networks, _ = split_networks(shapes)
    stages = esr_stages(config)
    check_options(config)
    setup = Setup(
        networks=networks,
        stages=tuple(
            stage_setup(config, number, epochs=stage.epochs) for number, stage in enumerate(stages)
        ),
        diversity=diversity_of(config.loss),
        diversity_weight=config.loss.diversity_weight,
        channel_source=config.loss.channel_source,
        normalisation=normalisation_of(config),
        prediction=config.model.prediction,
        learns=config.training.learns,
        has_global_statistics=has_global_statistics(config),
    )
    branches = network_names(config.model.num_branches)[1:]
    shown = branches if config.model.has_attention else ()
    starts = np.cumsum([stage.epochs for stage in stages])

    def initialise(key: jax.Array) -> TrainState:
        return init_state(setup, split_networks(make(rngs=nnx.Rngs(quickly_compiled_key(key))))[1])

    def step(updates: int, state: TrainState, batch: ImageBatch, key: jax.Array):
        del key
        return train_step(setup, updates, state, batch)

    def sample(parameters: Any, batch: ImageBatch, key: jax.Array) -> dict[str, jax.Array]:
        del key
        columns = {INPUT_COLUMN: (images := input_images(batch))}
        if shown:
            seen: Any = look(networks, setup.normalisation, parameters, batch.image)
            for i, name in enumerate(shown):
                columns[name] = as_picture(seen.spatial_attention[i], images)
        return columns

    given = config.training.start_weights
    start = (given and Path(given), config.training.take_fitting_parts, names.expressions)
    return Training(
        recognisers=(ENSEMBLE, *branches),
        init_state=initialise,
        # The stage: each has a step of its own.
        updates_due=lambda step, step_in_epoch, epoch: int((starts <= epoch).sum()),
        train_step=step,
        eval_step=partial(eval_step, networks, setup.normalisation, setup.prediction),
        sample_columns=(INPUT_COLUMN, *shown),
        sample_step=sample,
        shown_losses=("branches",),
        stages=stages,
        begin_stage=partial(begin_stage, setup),
        with_given_weights=partial(with_start_weights, *start) if given else None,
    )

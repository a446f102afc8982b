"""The weights of another classifier that a new one begins with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.errors import UsageError
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.steps.averages import first_averages

FIELD = "training.initial_model"


def with_initial_model(
    config: Config,
    expression_names: tuple[str, ...],
    state: Any,
    load: Callable[[Path], StoredModel],
) -> Any:
    """A new classifier's state that begins with the weights of a trained one.

    Classes are taken over by name, whatever their order; those that the trained one does not know
    begin at random, and so does the whole head where it knows none of them.

    Args:
        config: A configuration that names a model.
        expression_names: Names of the classes in the new model's order.
        state: The state of a new run, on the host. The optimiser's state is that of all weights.
        load: Opens a model.

    Returns:
        The state, on the host.

    Raises:
        UserError: If the model cannot be opened.
        UsageError: If it is not the plain classifier's, or its encoder has another size.
    """
    source = config.training.initial_model
    stored = load(Path(source))
    description = stored.description
    if description.family != config.family:
        raise UsageError(f"{FIELD}: {source} is of the family {description.family!r}")
    trained = stored.parameters
    taken = {"expression_encoder": trained["expression_encoder"]}
    _check_size(config, stored, taken, state.weights)  # before the head, which depends on it
    taken["expression_head"] = _head_by_name(
        trained["expression_head"],
        description.expression_names,
        state.weights["expression_head"],
        expression_names,
    )
    _check_size(config, stored, taken, state.weights)
    # Copies: the step donates every buffer once.
    weights = state.weights | jax.tree.map(np.copy, taken)
    averages = None if state.weight_averages is None else first_averages(weights)
    return state._replace(weights=weights, weight_averages=averages)


def _check_size(config: Config, stored: StoredModel, taken: Any, weights: Any) -> None:
    """Refuses networks whose layers do not have the sizes of the new ones."""
    if jax.tree.map(np.shape, taken) == jax.tree.map(np.shape, {n: weights[n] for n in taken}):
        return
    differing = [
        f"{name} is {value!r} there and {config.model[name]!r} here"
        for name, value in stored.description.architecture.items()
        if name in config.model and _plain(config.model[name]) != _plain(value)
    ]
    source = config.training.initial_model
    raise UsageError(f"{FIELD}: {source} has another size: {'; '.join(differing)}")


def _head_by_name(trained: Any, known: Sequence[str], random: Any, wanted: Sequence[str]) -> Any:
    """The trained head with the answers of other classes.

    Args:
        trained: Layer name to parameters, whose last axis is that of the classes in the last layer.
        known: The classes that it answers.
        random: The new head with random weights.
        wanted: Its classes.
    """
    shared = [name for name in wanted if name in known]
    if not shared:
        return random
    there = [list(known).index(name) for name in shared]
    here = [list(wanted).index(name) for name in shared]

    def answers(random_leaf: Any, trained_leaf: Any) -> np.ndarray:
        filled = np.array(random_leaf)
        filled[..., here] = np.asarray(trained_leaf)[..., there]
        return filled

    last = max(trained)  # "fc", or of "fc1" to "fc3" the third
    return {**trained, last: jax.tree.map(answers, random[last], trained[last])}


def _plain(value: Any) -> Any:
    """A value as it compares with that of a description, which has lists from JSON."""
    return list(value) if isinstance(value, list | tuple) else value

"""The weights of another classifier that a new one begins with."""

from collections.abc import Callable
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

    The head is taken over where the classes are the same ones in the same order; otherwise it
    begins at random.

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
    taken = {"expression_encoder": stored.parameters["expression_encoder"]}
    if description.expression_names == expression_names:
        taken["expression_head"] = stored.parameters["expression_head"]
    if jax.tree.map(np.shape, taken) != jax.tree.map(
        np.shape, {n: state.weights[n] for n in taken}
    ):
        differing = [
            f"{name} is {value!r} there and {config.model[name]!r} here"
            for name, value in description.architecture.items()
            if name in config.model and _plain(config.model[name]) != _plain(value)
        ]
        raise UsageError(f"{FIELD}: {source} has another size: {'; '.join(differing)}")
    # Copies: the step donates every buffer once.
    weights = state.weights | jax.tree.map(np.copy, taken)
    averages = None if state.weight_averages is None else first_averages(weights)
    return state._replace(weights=weights, weight_averages=averages)


def _plain(value: Any) -> Any:
    """A value as it compares with that of a description, which has lists from JSON."""
    return list(value) if isinstance(value, list | tuple) else value

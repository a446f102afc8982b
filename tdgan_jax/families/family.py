"""What the loop needs to know of a system; each family makes one from a configuration."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

import jax
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.errors import UsageError
from tdgan_jax.networks.execution import set_execution

Tree = Any


class Family(NamedTuple):
    """The functions of one system, all of them for one device's part of a batch.

    Attributes:
        recognisers: Names of what classifies expressions; the first one chooses the best epoch.
        init_state: `key -> state`; the state has the fields `parameters` and `step`.
        updates_due: `(step, step_in_epoch) -> updates`, which networks a step updates.
        train_step: `(updates, state, batch, key) -> (state, metrics)`; `updates` is static, the
            key is that of the run.
        eval_step: `(parameters, images) -> {recogniser: logits}`.
        sample_columns: Titles of the sample sheet's columns, in their order.
        sample_step: `(parameters, batch, key) -> {column title: images}`.
        sample_rows: Examples on a sample sheet.
        with_given_weights: `state -> state`, both on the host: puts weights of the user's into the
            state of a new run; None without such.
    """

    recognisers: tuple[str, ...]
    init_state: Callable[[jax.Array], Any]
    updates_due: Callable[[int, int], Hashable]
    train_step: Callable[[Any, Any, Any, jax.Array], tuple[Any, dict[str, jax.Array]]]
    eval_step: Callable[[Tree, jax.Array], dict[str, jax.Array]]
    sample_columns: tuple[str, ...]
    sample_step: Callable[[Tree, Any, jax.Array], dict[str, jax.Array]]
    sample_rows: int = 3
    with_given_weights: Callable[[Any], Any] | None = None


def set_configured_execution(config: Config, networks: Iterable[nnx.Module | None]) -> None:
    """Makes networks compute as the configuration wants it of training steps.

    Runs from before a field existed have its default.

    Raises:
        UsageError: If the precision is unknown.
    """
    try:
        set_execution(
            networks,
            precision=config.get("precision", "float32"),
            rematerialise=config.parallel.get("rematerialise", False),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error

"""The compiled functions of a system, kept for as many runs as have the same shapes.

Compiling takes longer than many a small run: the folds of a cross-validation share one program.
"""

from collections.abc import Callable, Hashable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from tdgan_jax.configuration import Config
from tdgan_jax.families.family import Names, Training
from tdgan_jax.families.known import family_named
from tdgan_jax.steps.parallel import Step, parallel_eval_step, parallel_train_step


class Program(NamedTuple):
    """A system's functions compiled, each when it is first called.

    Attributes:
        training: The functions for one device's part of a batch.
        mesh: The devices that it is compiled for.
        names: The people and expressions of the model.
        init_state: `key -> state`.
        train_step: `updates -> step`, a `parallel_train_step` for each combination of updates.
        eval_step: A `parallel_eval_step`.
        sample_step: `(parameters, batch, key) -> {column title: images}`.
    """

    training: Training
    mesh: Mesh
    names: Names
    init_state: Callable[[jax.Array], Any]
    train_step: Callable[[Hashable], Step]
    eval_step: Step
    sample_step: Callable[..., Any]

    def fits(self, names: Names) -> bool:
        """Says whether the compiled functions serve a run with these people and classes."""
        same_classes = names.expressions == self.names.expressions
        return same_classes and len(names.identities) == len(self.names.identities)


def make_training(config: Config, names: Names) -> Training:
    """The functions of a configuration's system.

    Raises:
        UserError: If the system is unknown.
        UsageError: If a value of the configuration is impossible.
    """
    return family_named(config.family).training(config, names)


def make_program(config: Config, mesh: Mesh, names: Names) -> Program:
    """Makes the functions of a configuration's system; nothing is compiled yet.

    Args:
        config: The configuration.
        mesh: The devices.
        names: The people and expressions of the model.

    Raises:
        UserError: If the system is unknown.
        UsageError: If a value of the configuration is impossible.
    """
    training = make_training(config, names)
    return Program(
        training=training,
        mesh=mesh,
        names=names,
        init_state=jax.jit(training.init_state),
        train_step=cache(
            lambda updates: parallel_train_step(
                partial(training.train_step, updates), mesh, mapping=config.parallel.mapping
            )
        ),
        eval_step=parallel_eval_step(training.eval_step, mesh),
        sample_step=jax.jit(training.sample_step),
    )

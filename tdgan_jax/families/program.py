"""The compiled functions of a system, kept for as many runs as have the same shapes.

Compiling takes longer than many a small run: the folds of a cross-validation share one program.
"""

from collections.abc import Callable, Hashable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from tdgan_jax.configuration import Config
from tdgan_jax.families.family import Family
from tdgan_jax.families.known import make_family
from tdgan_jax.steps.parallel import Step, parallel_eval_step, parallel_train_step


class Program(NamedTuple):
    """A family with its functions compiled, each when it is first called.

    Attributes:
        family: The functions for one device's part of a batch.
        mesh: The devices that it is compiled for.
        num_identities: People in the face branch, K.
        expression_names: Names of the classes in the model's order.
        init_state: `key -> state`.
        train_step: `updates -> step`, a `parallel_train_step` for each combination of updates.
        eval_step: A `parallel_eval_step`.
        sample_step: `(parameters, batch, key) -> {column title: images}`.
    """

    family: Family
    mesh: Mesh
    num_identities: int
    expression_names: tuple[str, ...]
    init_state: Callable[[jax.Array], Any]
    train_step: Callable[[Hashable], Step]
    eval_step: Step
    sample_step: Callable[..., Any]

    def fits(self, identity_names: tuple[str, ...], expression_names: tuple[str, ...]) -> bool:
        """Says whether the compiled functions serve a run with these people and classes."""
        return (len(identity_names), expression_names) == (
            self.num_identities,
            self.expression_names,
        )


def make_program(
    config: Config,
    mesh: Mesh,
    identity_names: tuple[str, ...],
    expression_names: tuple[str, ...],
    devices_at_once: int | None = None,
) -> Program:
    """Makes the functions of a configuration's system; nothing is compiled yet.

    Args:
        config: The configuration.
        mesh: The devices.
        identity_names: People in the face branch.
        expression_names: Names of the classes in the model's order.
        devices_at_once: Devices of this process that compute at once; those of the mesh by default.

    Raises:
        UsageError: If the system is unknown or a value of the configuration is impossible.
    """
    family = make_family(config, identity_names, expression_names)
    return Program(
        family=family,
        mesh=mesh,
        num_identities=len(identity_names),
        expression_names=expression_names,
        init_state=jax.jit(family.init_state),
        train_step=cache(
            lambda updates: parallel_train_step(
                partial(family.train_step, updates),
                mesh,
                mapping=config.parallel.mapping,
                devices_at_once=devices_at_once,
            )
        ),
        eval_step=parallel_eval_step(family.eval_step, mesh, devices_at_once=devices_at_once),
        sample_step=jax.jit(family.sample_step),
    )

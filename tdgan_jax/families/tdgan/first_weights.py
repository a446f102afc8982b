"""The weights that a new TDGAN takes over from a run of the plain classifier."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.errors import UsageError
from tdgan_jax.families.stored import StoredModel

NETWORKS = ("expression_encoder", "expression_head")
SIZES = ("image_size_px", "image_channels", "width_multiplier", "num_inception_blocks")


def check_classifier_run(config: Config, read_config: Callable[[Path], Config]) -> None:
    """Refuses a classifier run that cannot give its weights, before any data are loaded.

    Args:
        config: A TDGAN configuration.
        read_config: Reads the configuration of a run folder.

    Raises:
        UserError: If the folder holds no run.
        UsageError: If it is not the plain classifier's, or its networks have another size.
    """
    folder = config.training.classifier_run
    if not folder:
        return
    theirs = read_config(Path(folder))
    if theirs.model.get("encoder") != "inception":
        raise UsageError(
            f"training.classifier_run: {folder} is a run of the family {theirs.family!r}; give one "
            "of the plain classifier with model.encoder=inception"
        )
    for field in SIZES:
        if theirs.model[field] != config.model[field]:
            raise UsageError(
                f"training.classifier_run: model.{field} is {theirs.model[field]} in {folder} and "
                f"{config.model[field]} here; they must be equal"
            )


def with_classifier_weights(
    folder: str,
    expression_names: tuple[str, ...],
    state: Any,
    load: Callable[[Path], StoredModel],
) -> Any:
    """A new TDGAN's state whose expression encoder and head are a classifier's.

    The expression discriminator and the realism critic's encoder, which have the same form, begin
    with the same weights: they can judge the generator from the first step on.

    Args:
        folder: The run folder, `training.classifier_run`.
        expression_names: Names of the classes in the new model's order.
        state: The state of a new run, on the host. The optimiser's state is that of all weights.
        load: Opens a run.

    Returns:
        The state, on the host.

    Raises:
        UserError: If the run has no finished epoch or is damaged.
        UsageError: If it has other classes.
    """
    stored = load(Path(folder))
    theirs = stored.description.expression_names
    if theirs != expression_names:
        raise UsageError(
            f"training.classifier_run: the classes of {folder} are {', '.join(theirs)}; those of "
            f"the data {', '.join(expression_names)}"
        )
    return with_expression_branch(state, *(stored.parameters[name] for name in NETWORKS))


def with_expression_branch(state: Any, encoder: Any, head: Any) -> Any:
    """A state whose expression branch is a classifier's.

    The expression discriminator and the realism critic's encoder get copies of the same weights.

    Args:
        state: A state of the training, on the host.
        encoder: Parameters of the expression encoder.
        head: Parameters of the expression head.

    Returns:
        The state; no buffer stands in it twice.
    """
    copy = partial(jax.tree.map, np.copy)  # the step donates every buffer once
    taken = dict(zip(NETWORKS, (encoder, head), strict=True))
    judge = {"expression_discriminator": {"encoder": copy(encoder), "head": copy(head)}}
    state = state._replace(parameters=state.parameters | taken | judge)
    critics = getattr(state, "critics", {})
    if "realism_critic" not in critics:
        return state
    critic = {"realism_critic": critics["realism_critic"] | {"encoder": copy(encoder)}}
    return state._replace(critics=critics | critic)

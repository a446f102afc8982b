"""The weights that a new TDGAN takes over from a run of the plain classifier."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from tdgan_jax.configuration import Config
from tdgan_jax.errors import UsageError
from tdgan_jax.exchange.selected_runs import open_selected_run, read_config

NETWORKS = ("expression_encoder", "expression_head")


def check_classifier_run(config: Config) -> None:
    """Refuses a classifier run that cannot give its weights, before any data are loaded.

    Raises:
        UserError: If the folder holds no run.
        UsageError: If it is not the plain classifier's, or its networks have another size.
    """
    folder = config.training.get("classifier_run")
    if not folder:
        return
    theirs = read_config(Path(folder))
    if theirs.family != "classifier":
        raise UsageError(
            f"training.classifier_run: {folder} is a run of the family {theirs.family!r}; give one "
            "of the plain classifier"
        )
    for field in ("image_size_px", "image_channels", "width_multiplier", "num_inception_blocks"):
        if theirs.model[field] != config.model[field]:
            raise UsageError(
                f"training.classifier_run: model.{field} is {theirs.model[field]} in {folder} and "
                f"{config.model[field]} here; they must be equal"
            )


def with_classifier_weights(
    config: Config, expression_names: tuple[str, ...], state: Any, mesh: Mesh
) -> Any:
    """A new TDGAN's state whose expression encoder and head are a classifier's.

    The expression discriminator, which learns from real images alone and has the same form, begins
    with the same weights: it can judge the generator from the first step on.

    Args:
        config: The configuration; `training.classifier_run` names the run folder.
        expression_names: Names of the classes in the new model's order.
        state: The state of a new run, on the host. The optimiser's state is that of all weights.
        mesh: The devices of the run: each process reads the weights onto its own.

    Returns:
        The state, on the host.

    Raises:
        UserError: If the run has no finished epoch or is damaged.
        UsageError: If it has other classes.
    """
    folder = config.training.classifier_run
    run = open_selected_run(Path(folder), mesh=mesh)
    if run.expression_names != expression_names:
        raise UsageError(
            f"training.classifier_run: the classes of {folder} are "
            f"{', '.join(run.expression_names)}; those of the data {', '.join(expression_names)}"
        )
    encoder, head = (jax.device_get(run.parameters[name]) for name in NETWORKS)
    # Copies: the step donates every buffer once.
    judge = jax.tree.map(np.copy, {"encoder": encoder, "head": head})
    taken = dict(zip(NETWORKS, (encoder, head), strict=True)) | {"expression_discriminator": judge}
    return state._replace(parameters=state.parameters | taken)

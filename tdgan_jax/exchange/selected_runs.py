"""The one opener of runs: the parameters that a run's selection chose."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tdgan_jax.configuration import Config, flatten
from tdgan_jax.errors import UserError
from tdgan_jax.families.family import Names
from tdgan_jax.families.fields import check_known_fields
from tdgan_jax.families.known import family_named
from tdgan_jax.families.program import Program, make_program
from tdgan_jax.families.stored import ModelDescription, Preprocessing, StoredModel
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.runs.folder import CHECKPOINTS_FOLDER, CONFIG_FILE, read_run
from tdgan_jax.steps.parallel import make_mesh, replicated_shapes

# Without these a JSON object is no configuration of a run.
REQUIRED_FIELDS = ("family", "data.expressions.dataset", "evaluation.selection")


class SelectedRun(NamedTuple):
    """A run with the parameters that its configured selection chose.

    Attributes:
        config: The configuration as it was stored.
        names: The people and expressions of the model.
        program: Its functions.
        parameters: Network name to parameter tree, on the devices of the program.
        crop: How the faces of its training images were cut out, as JSON; None: as their owner
            gives them.
    """

    config: Config
    names: Names
    program: Program
    parameters: dict[str, Any]
    crop: dict[str, Any] | None

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the classes in the model's order."""
        return self.names.expressions


def open_selected_run(
    folder: Path,
    *,
    data_dir: str = "",
    mesh: Mesh | None = None,
    program: Program | None = None,
) -> SelectedRun:
    """Opens a run for evaluation: its configuration, functions and selected parameters.

    Args:
        folder: A run folder with at least one finished epoch.
        data_dir: Where prepared datasets are kept; the run's setting if empty.
        mesh: The devices; one by default.
        program: Compiled functions of a run with the same settings; taken over if they fit.

    Raises:
        UserError: If the folder holds no such run, or a damaged one.
    """
    config = read_config(folder)
    if data_dir:
        config.data.directory = data_dir
    description = describe_run(folder, config)
    names = Names(description.identity_names or (), description.expression_names)
    if program is None or not program.fits(names):
        program = make_program(config, mesh or make_mesh(jax.devices()[:1]), names)
    stored = _selected(folder, config, description, program.mesh)
    return SelectedRun(config, names, program, stored.parameters, description.preprocessing.crop)


def open_run(folder: Path, *, mesh: Mesh | None = None) -> StoredModel:
    """Opens a run as a model: what it is and its selected parameters, on the host.

    Args:
        folder: A run folder with at least one finished epoch.
        mesh: Devices that the parameters are read onto; of several processes each reads onto its
            own. One of this process by default.

    Raises:
        UserError: If the run has not finished an epoch, holds folds, or is damaged.
    """
    files = read_run(folder)
    if files.folds:
        raise UserError(f"{folder} is a cross-validation; give one of its runs: {files.folds[0]}")
    config = read_config(folder)
    mesh = mesh or make_mesh(jax.local_devices()[:1])
    stored = _selected(folder, config, describe_run(folder, config), mesh)
    return stored._replace(parameters=jax.tree.map(np.asarray, jax.device_get(stored.parameters)))


def read_config(folder: Path) -> Config:
    """Reads the configuration of a run or a cross-validation as it was stored.

    Raises:
        UserError: If the folder holds none, one that lacks what a run needs, or one with fields
            that are unknown today.
    """
    stored = read_run(folder).config
    if stored is None:
        raise UserError(f"{folder} holds no {CONFIG_FILE}; give the folder of a run")
    config: Config = ConfigDict(stored)
    fields = flatten(config)
    if missing := [field for field in REQUIRED_FIELDS if not fields.get(field)]:
        raise UserError(
            f"{folder / CONFIG_FILE} is no configuration of a run: it lacks {', '.join(missing)}"
        )
    check_known_fields(stored, folder / CONFIG_FILE)
    return config


def describe_run(folder: Path, config: Config) -> ModelDescription:
    """What the model of a run is.

    Args:
        folder: A run folder with at least one finished epoch.
        config: Its configuration, `read_config`.

    Raises:
        UserError: If no epoch is finished, or the checkpoint is damaged.
    """
    progress = Checkpoints(folder / CHECKPOINTS_FOLDER, read_only=True).best_progress(
        config.evaluation.selection
    )
    return ModelDescription(
        family=config.family,
        architecture=config.model.to_dict(),
        expression_names=tuple(progress["expression_names"]),
        num_identities=len(progress["identity_names"]),
        identity_names=tuple(progress["identity_names"]),
        preprocessing=Preprocessing(
            config.model.image_size_px,
            config.model.image_channels,
            config.data.test_transform,
            progress.get("crop"),
            _normalisation(config.data),
        ),
    )


def _normalisation(data: Any) -> Normalisation:
    """That of a configuration; systems whose networks see images in [0, 1] have no such fields."""
    if "mean" not in data:
        return Normalisation()
    return Normalisation(tuple(data.mean), tuple(data.deviation), data.channel_order)


def _selected(
    folder: Path, config: Config, description: ModelDescription, mesh: Mesh
) -> StoredModel:
    """The selected parameters on the devices of a mesh, with what they belong to."""
    shapes = family_named(config.family).stored().shapes(description)
    checkpoints = Checkpoints(folder / CHECKPOINTS_FOLDER, read_only=True)
    parameters = checkpoints.restore_best(
        config.evaluation.selection, replicated_shapes(shapes.parameters, mesh)
    )
    return StoredModel(description, shapes.definitions, parameters)

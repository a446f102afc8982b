"""Opens whatever a user calls a model: a run folder, an export, an imported folder."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding
from ml_collections import ConfigDict

from tdgan_jax.configuration import check_known_fields
from tdgan_jax.errors import UserError
from tdgan_jax.exchange.checksums import check_sums
from tdgan_jax.exchange.description import (
    MODEL_FILE,
    ModelDescription,
    Preprocessing,
    read_description,
)
from tdgan_jax.families.stored import FoundArchitecture, StoredModel, stored_family
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.runs.folder import CHECKPOINTS_FOLDER, CONFIG_FILE, is_run_folder, read_run
from tdgan_jax.torch_weights.state_files import read_networks

PRETRAINED = "pretrained"
PRETRAINED_FOLDER = Path(__file__).parent.parent / "pretrained"


def open_model(source: str | Path) -> StoredModel:
    """Opens a model.

    Args:
        source: A run folder, an export (torch or safetensors), an imported folder, or
            `"pretrained"`: the weights that come with the package.

    Raises:
        UserError: If it is none of these, or damaged.
    """
    folder = Path(source)
    if str(source) == PRETRAINED and not folder.exists():
        folder = PRETRAINED_FOLDER
        check_sums(folder)
    if (folder / MODEL_FILE).is_file():
        return open_export(folder)
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}; give a run folder, an export, an import or pretrained"
        )
    if not is_run_folder(folder):
        raise UserError(
            f"{folder} is no model: it holds neither {MODEL_FILE} nor a run. Weights from "
            "elsewhere are made one by tdgan-jax import"
        )
    return open_run(folder)


def open_run(folder: Path) -> StoredModel:
    """Opens a run: the parameters that its configured selection chose.

    Raises:
        UserError: If the run has not finished an epoch, holds folds, or is damaged.
    """
    files = read_run(folder)
    if files.folds:
        raise UserError(f"{folder} is a cross-validation; give one of its runs: {files.folds[0]}")
    if files.config is None:
        raise UserError(f"{folder} holds no config.json; give the folder of a run")
    check_known_fields(files.config, folder / CONFIG_FILE)
    config: Any = ConfigDict(files.config)
    checkpoints = Checkpoints(folder / CHECKPOINTS_FOLDER, read_only=True)
    selection = config.evaluation.selection
    try:
        names = checkpoints.best_progress(selection)
        description = ModelDescription(
            family=config.family,
            architecture=config.model.to_dict(),
            expression_names=tuple(names["expression_names"]),
            num_identities=len(names["identity_names"]),
            identity_names=tuple(names["identity_names"]),
            preprocessing=Preprocessing(
                config.model.image_size_px,
                config.model.image_channels,
                config.data.test_transform,
                names.get("crop"),
            ),
        )
        shapes = stored_family(description.family).shapes(description)
        stored = checkpoints.restore_best(selection, _on_one_device(shapes.parameters))
    except UserError:
        raise
    except Exception as error:  # Orbax raises almost anything on damaged files.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"the checkpoint in {folder} cannot be read: {reason[:200]}") from error
    parameters = jax.tree.map(np.asarray, jax.device_get(stored))
    return StoredModel(description, shapes.definitions, parameters)


def _on_one_device(shapes: Any) -> Any:
    sharding = SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


def open_export(folder: Path) -> StoredModel:
    """Opens an export or an imported folder.

    Raises:
        UserError: If it is damaged, incomplete, or made for other programs alone (ONNX).
    """
    description, weights = read_description(folder / MODEL_FILE)
    if weights == "onnx":
        raise UserError(
            f"{folder} is an ONNX export, which other programs read; this one reads exports made "
            "with --format safetensors or --format torch"
        )
    family = stored_family(description.family)
    state_dicts = read_networks(
        folder, stems=family.stems, prefixes=family.prefixes, optional=family.optional
    )
    found = family.find_architecture(state_dicts)
    check_same_architecture(folder, description, found)
    shapes = family.shapes(description)
    parameters = family.from_torch(state_dicts, shapes.parameters)
    return StoredModel(description, shapes.definitions, parameters)


def check_same_architecture(
    folder: Path, description: ModelDescription, found: FoundArchitecture
) -> None:
    """Refuses a description that is not that of the weights beside it.

    Raises:
        UserError: Names the first field that differs.
    """
    said = description.architecture | {
        "number of expression_names": len(description.expression_names),
        "num_identities": description.num_identities,
    }
    seen = found.architecture | {
        "number of expression_names": found.num_expressions,
        "num_identities": found.num_identities,
    }
    for field in sorted((said.keys() | seen.keys()) - {*found.untold, *found.rounded}):
        if said.get(field) != seen.get(field):
            raise UserError(
                f"{folder / MODEL_FILE} does not fit the weights beside it: {field} is "
                f"{said.get(field)!r} there and {seen.get(field)!r} in the weights"
            )

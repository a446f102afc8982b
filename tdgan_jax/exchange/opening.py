"""Opens whatever a user calls a model: a run folder, an export, an imported folder."""

from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from tdgan_jax.errors import UserError
from tdgan_jax.exchange.checksums import check_sums
from tdgan_jax.exchange.description import MODEL_FILE, read_description
from tdgan_jax.exchange.selected_runs import open_run
from tdgan_jax.families.fields import default_fields
from tdgan_jax.families.known import family_named
from tdgan_jax.families.stored import FoundArchitecture, ModelDescription, StoredModel
from tdgan_jax.runs.folder import is_run_folder
from tdgan_jax.torch_weights.state_files import read_networks

SHIPPED_FOLDER = Path(__file__).parent.parent / "shipped"
SHIPPED = ("pretrained", "pretrained_tdgan")
"""The models that come with the package: a recogniser, and a generator with its own recogniser."""


def open_model(source: str | Path, *, mesh: Mesh | None = None) -> StoredModel:
    """Opens a model.

    Args:
        source: A run folder, an export (torch or safetensors), an imported folder, or one of
            `SHIPPED`.
        mesh: Devices that the parameters of a run are read onto; see `open_run`.

    Raises:
        UserError: If it is none of these, or damaged.
    """
    folder = Path(source)
    if str(source) in SHIPPED and not folder.exists():
        folder = SHIPPED_FOLDER / folder
        check_sums(folder)
    if (folder / MODEL_FILE).is_file():
        return open_export(folder)
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}; give a run folder, an export, an import, or "
            f"one of {', '.join(SHIPPED)}"
        )
    if not is_run_folder(folder):
        raise UserError(
            f"{folder} is no model: it holds neither {MODEL_FILE} nor a run. Weights from "
            "elsewhere are made one by tdgan-jax import"
        )
    return open_run(folder, mesh=mesh)


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
    family = family_named(description.family).stored()
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
    # A field that is younger than the description was as the system's default says.
    younger = default_fields(description.family)["model"]
    for field in sorted((said.keys() | seen.keys()) - {*found.untold, *found.rounded}):
        there = said.get(field, younger.get(field))
        if as_in_json(there) != as_in_json(seen.get(field)):
            raise UserError(
                f"{folder / MODEL_FILE} does not fit the weights beside it: {field} is "
                f"{said.get(field)!r} there and {seen.get(field)!r} in the weights"
            )
    names = description.identity_names
    if names is not None and len(names) != found.num_identities:
        raise UserError(
            f"{folder / MODEL_FILE} does not fit the weights beside it: identity_names has "
            f"{len(names)} names there for {found.num_identities} people in the weights"
        )


def as_in_json(value: Any) -> Any:
    """A value of a description as JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value

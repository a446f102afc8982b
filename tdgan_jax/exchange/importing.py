"""Makes a model out of weights from elsewhere: PyTorch's state dicts or safetensors."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.exchange.description import MODEL_FILE, read_description, write_description
from tdgan_jax.exchange.exporting import compare_tensors
from tdgan_jax.exchange.new_folder import check_new_folder, new_folder
from tdgan_jax.exchange.opening import check_same_architecture
from tdgan_jax.expressions import class_name
from tdgan_jax.families.known import family_named
from tdgan_jax.families.stored import (
    FoundArchitecture,
    ModelDescription,
    Preprocessing,
    StoredFamily,
)
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.torch_weights.state_files import read_networks, write_safetensors_file

STAGES = 3
_ASSUMED_TRANSFORMS = {
    "resize": "pictures are resized as a whole, as the released program tests on RAF-DB",
    "square_centre_crop": "of pictures the middle is taken, 224 of 256 pixels, as in the paper",
}


class Imported(NamedTuple):
    """What an import has found.

    Attributes:
        description: The model's.
        num_tensors: Tensors of all networks.
        assumptions: What nothing told, in sentences.
    """

    description: ModelDescription
    num_tensors: int
    assumptions: tuple[str, ...]


def import_weights(
    source: Path,
    family_name: str,
    out: Path,
    *,
    labels: Sequence[str] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda stage: None,
) -> Imported:
    """Writes a folder that `open_model` opens.

    The architecture is found in the shapes of the weights; `model.json` beside them, where there
    is one, tells the rest.

    Args:
        source: Folder with the files, or one file for all networks.
        family_name: The system that the weights belong to.
        out: The folder to make.
        labels: Names of the expressions in the order of the logits; those of `model.json`, or of
            the published weights, by default.
        overwrite: Whether an export or import that is there is replaced.
        say: Told at the begin of each of `STAGES` stages what is being done.

    Raises:
        UserError: If files are missing, damaged or belong to other networks, or the folder cannot
            be written.
        UsageError: If the names do not fit the weights, or none are known.
    """
    check_new_folder(out, overwrite=overwrite)
    say("reading")
    family = family_named(family_name).stored()
    described = _description_beside(source, family_name)
    notes: list[str] = []
    state_dicts = read_networks(
        source,
        stems=family.stems,
        prefixes=family.prefixes,
        optional=family.optional,
        readers=family.readers,
        say=notes.append,
    )
    found = family.find_architecture(state_dicts)
    if described is not None:
        check_same_architecture(source, described, found)
        description, assumptions = described, []
    else:
        description, assumptions = _description_of(found, family_name, family, labels)
    assumptions = [*notes, *assumptions]
    if labels is not None:
        names = _checked_names(labels, found.num_expressions)
        description = description._replace(expression_names=names)
    say("converting")
    parameters = family.from_torch(state_dicts, family.shapes(description).parameters)
    written = family.to_torch(parameters)
    parity = compare_tensors(written, state_dicts)
    say("writing")
    with new_folder(out, overwrite=overwrite) as folder:
        write_safetensors_file(folder, written, family.prefixes)
        write_description(
            folder,
            description,
            weights="safetensors",
            parity={"compared_with": "the imported files", **parity},
            assumptions=tuple(assumptions),
        )
    return Imported(description, parity["tensors"], tuple(assumptions))


def _description_beside(source: Path, family_name: str) -> ModelDescription | None:
    path = (source if source.is_dir() else source.parent) / MODEL_FILE
    if not os.path.lexists(path):
        return None
    description, weights = read_description(path)
    if weights == "onnx":
        raise UserError(
            f"{source} is an ONNX export, which holds no weights for training; import one made "
            "with --format safetensors or --format torch"
        )
    if description.family != family_name:
        raise UserError(f"{path} says that the model is of the family {description.family!r}")
    return description


def _description_of(
    found: FoundArchitecture,
    family_name: str,
    family: StoredFamily,
    labels: Sequence[str] | None,
) -> tuple[ModelDescription, list[str]]:
    """The description of weights without one, and what had to be assumed for it."""
    assumptions = [
        f"{field} is {found.architecture[field]}, which the weights do not tell"
        for field in found.untold
    ]
    names = family.released_names
    if labels is None and len(names) != found.num_expressions:
        raise UsageError(
            f"the weights tell {found.num_expressions} expressions apart and nothing names them; "
            "add --labels with their names in the order of the logits, e.g. "
            "--labels happiness,sadness"
        )
    if labels is None:
        assumptions.append(
            f"the expressions are those of the published weights, in their order: "
            f"{', '.join(names)} (other names: --labels)"
        )
    assumptions.append(_ASSUMED_TRANSFORMS[family.test_transform])
    is_coloured = found.architecture["image_channels"] == 3
    normalisation = family.normalisation if is_coloured else Normalisation()
    if normalisation.channel_order == "bgr":
        assumptions.append("the network sees blue, green, red, as in the released program")
    if normalisation._replace(channel_order="rgb") != Normalisation():
        assumptions.append(
            f"images in [0, 1] are normalised with the mean {normalisation.mean} and the "
            f"deviation {normalisation.deviation}, as by the released program"
        )
    description = ModelDescription(
        family=family_name,
        architecture=found.architecture,
        expression_names=names,
        num_identities=found.num_identities,
        identity_names=None,
        preprocessing=Preprocessing(
            found.architecture["image_size_px"],
            found.architecture["image_channels"],
            family.test_transform,
            normalisation=normalisation,
        ),
    )
    return description, assumptions


def _checked_names(labels: Sequence[str], num_expressions: int) -> tuple[str, ...]:
    try:
        names = tuple(class_name(label) if label.strip() else "" for label in labels)
    except UserError as error:
        raise UsageError(f"--labels: {error}") from error
    if len(names) != num_expressions:
        raise UsageError(
            f"--labels has {len(names)} names, the weights tell {num_expressions} expressions apart"
        )
    if len(set(names)) < len(names) or not all(names):
        raise UsageError(f"--labels needs different names, not {', '.join(names)}")
    return names

"""What has to be known of a trained model besides its weights: `model.json` of an export.

    {"format_version": 1,
     "family": "tdgan",
     "architecture": {field: value},        as in `config.model` of the run
     "expression_names": [name],            in the order of the logits
     "num_identities": int,                 people that the face discriminator tells apart
     "identity_names": [name] or null,      in the order of its logits, if they are known
     "preprocessing": {"image_size_px": int, "image_channels": int, "test_transform": text,
                       "crop": {field: value} or null},
     "weights": "torch" | "safetensors" | "onnx",
     "parity": {...},                       how the written files compare with the model
     "assumptions": [text]}                 what an import had to assume

Readers ignore fields that they do not know; a change that they must not ignore raises the version.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tdgan_jax.data.images import TEST_TRANSFORMS
from tdgan_jax.errors import UserError
from tdgan_jax.runs.folder import read_json, write_json

MODEL_FILE = "model.json"
FORMAT_VERSION = 1
WEIGHT_FORMATS = ("torch", "safetensors", "onnx")


class Preprocessing(NamedTuple):
    """How pictures are prepared for a model (spec TDGAN 6.2).

    Attributes:
        image_size_px: Height and width of the model's images.
        image_channels: 1: gray, 3: colour. Values are in [0, 1].
        test_transform: `"resize"`: the whole picture; `"centre_crop"`: its middle, scaled as in
            training; `"square_centre_crop"`: that of IF-GAN, whose scale makes squares.
        crop: How faces are cut out of photographs, `faces.alignment.CropSettings` as JSON; None:
            the model was trained on images as their owner gives them.
    """

    image_size_px: int
    image_channels: int
    test_transform: str
    crop: dict[str, Any] | None = None


class ModelDescription(NamedTuple):
    """What inference needs besides definitions and parameters.

    Attributes:
        family: `"tdgan"` or `"ifgan"`.
        architecture: Arguments of the family's networks, the fields of `config.model`.
        expression_names: Names of the classes in the order of the logits.
        num_identities: People that the face branch was trained with; 0 without one.
        identity_names: Their names in the order of the face discriminator's logits; None where
            they are not known.
        preprocessing: How pictures are prepared.
    """

    family: str
    architecture: dict[str, Any]
    expression_names: tuple[str, ...]
    num_identities: int
    identity_names: tuple[str, ...] | None
    preprocessing: Preprocessing


def write_description(
    folder: Path,
    description: ModelDescription,
    *,
    weights: str,
    parity: Mapping[str, Any],
    assumptions: tuple[str, ...] = (),
) -> None:
    """Writes `model.json`.

    Raises:
        UserError: If it cannot be written.
    """
    fields = description._asdict() | {"preprocessing": description.preprocessing._asdict()}
    stored = {"format_version": FORMAT_VERSION, **fields, "weights": weights, "parity": parity}
    write_json(folder / MODEL_FILE, stored | {"assumptions": assumptions})


def read_description(path: Path) -> tuple[ModelDescription, str]:
    """Reads `model.json`.

    Args:
        path: The file.

    Returns:
        The description and the format of the weights beside it.

    Raises:
        UserError: If it is damaged or of a newer version; the field is named.
    """
    stored = read_json(path)
    if not isinstance(stored, dict):
        raise UserError(f"{path} is damaged: it holds no JSON object")

    def field(holder: Mapping[str, Any], name: str, kind: type) -> Any:
        value = holder.get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise UserError(f"{path} is damaged: {name} is {value!r}, not of type {kind.__name__}")
        return value

    def names(name: str) -> tuple[str, ...]:
        listed = tuple(field(stored, name, list))
        if not all(isinstance(item, str) for item in listed) or len(set(listed)) < len(listed):
            raise UserError(f"{path} is damaged: {name} is no list of different names")
        return listed

    version = field(stored, "format_version", int)
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path} is of format version {version}, this program reads {FORMAT_VERSION}; "
            "install the version of tdgan-jax that wrote it"
        )
    preprocessing = field(stored, "preprocessing", dict)
    description = ModelDescription(
        family=field(stored, "family", str),
        architecture=field(stored, "architecture", dict),
        expression_names=names("expression_names"),
        num_identities=field(stored, "num_identities", int),
        identity_names=None if stored.get("identity_names") is None else names("identity_names"),
        preprocessing=Preprocessing(
            field(preprocessing, "image_size_px", int),
            field(preprocessing, "image_channels", int),
            field(preprocessing, "test_transform", str),
            None if preprocessing.get("crop") is None else field(preprocessing, "crop", dict),
        ),
    )
    for name in ("image_size_px", "image_channels"):
        if preprocessing[name] != description.architecture.get(name, preprocessing[name]):
            raise UserError(f"{path} is damaged: it holds two different values of {name}")
    if description.preprocessing.test_transform not in TEST_TRANSFORMS:
        raise UserError(
            f"{path}: test_transform is {description.preprocessing.test_transform!r}; "
            f"known: {', '.join(TEST_TRANSFORMS)}"
        )
    weights = field(stored, "weights", str)
    if weights not in WEIGHT_FORMATS:
        raise UserError(f"{path}: weights is {weights!r}; known: {', '.join(WEIGHT_FORMATS)}")
    return description, weights

"""What has to be known of a trained model besides its weights: `model.json` of an export.

    {"format_version": 2,
     "family": name of the system,
     "architecture": {field: value},        as in `config.model` of the run
     "expression_names": [name],            in the order of the logits
     "num_identities": int,                 identities of the face discriminator
     "identity_names": [name] or null,      in the order of its logits, if they are known
     "preprocessing": {"image_size_px": int, "image_channels": int, "test_transform": text,
                       "crop": {field: value} or null, "channel_order": "rgb" | "bgr",
                       "mean": [number], "deviation": [number]},
     "temperature": number,                 that the scores are divided by
     "class_frequencies": [number] or null, mean probabilities on images like the training images
     "balance": number,                     power of them that probabilities are divided by
     "weights": "torch" | "safetensors" | "onnx",
     "parity": {...},                       how the written files compare with the model
     "assumptions": [text]}                 what an import had to assume

Readers ignore fields that they do not know; a change that they must not ignore raises the version.
Files of version 1 have neither the last three of the preprocessing nor the three after it: colours
in the order red, green, blue, in [0, 1], and 1, null, 0.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tdgan_jax.data.images import TEST_TRANSFORMS
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import checked_name
from tdgan_jax.families.stored import ModelDescription, Preprocessing, describe_as_json
from tdgan_jax.files import read_json, write_json
from tdgan_jax.networks.normalisation import Normalisation

MODEL_FILE = "model.json"
FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)
CHANNEL_ORDERS = ("rgb", "bgr")
MAX_IMAGE_SIZE_PX = 4096
DROPOUT_RATE = "dropout_rate"  # how fields end that only training uses
WEIGHT_FORMATS = ("torch", "safetensors", "onnx")


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
    fields = describe_as_json(description)
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
        listed = field(stored, name, list)
        if not all(isinstance(item, str) for item in listed):
            raise UserError(f"{path} is damaged: {name} is no list of different names")
        checked = tuple(_name(path, name, item) for item in listed)
        if len(set(checked)) < len(checked):
            raise UserError(f"{path} is damaged: {name} is no list of different names")
        return checked

    version = field(stored, "format_version", int)
    if version not in READABLE_VERSIONS:
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
            _normalisation(path, preprocessing),
        ),
        temperature=_positive(path, "temperature", stored.get("temperature", 1.0)),
        class_frequencies=_frequencies(path, stored),
        balance=_share(path, "balance", stored.get("balance", 0.0)),
    )
    _check_values(path, description)
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


def _name(path: Path, field: str, spelling: str) -> str:
    try:
        return checked_name(spelling, f"a name of {field}")
    except UserError as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _check_values(path: Path, description: ModelDescription) -> None:
    """Refuses what no model has, and the weights beside it do not tell."""
    if not description.expression_names:
        raise UserError(f"{path} is damaged: expression_names is empty")
    for field, value in description.architecture.items():
        if field.endswith(DROPOUT_RATE) and not (_is_number(value) and 0 <= value < 1):
            raise UserError(f"{path} is damaged: {field} is {value!r}, not a number in [0, 1)")
    size_px = description.preprocessing.image_size_px
    if not 1 <= size_px <= MAX_IMAGE_SIZE_PX:
        raise UserError(
            f"{path} is damaged: image_size_px is {size_px}, not in [1, {MAX_IMAGE_SIZE_PX}]"
        )
    if description.preprocessing.image_channels not in (1, 3):
        raise UserError(
            f"{path} is damaged: image_channels is {description.preprocessing.image_channels}, "
            "not 1 or 3"
        )


def _normalisation(path: Path, preprocessing: Mapping[str, Any]) -> Normalisation:
    """What version 2 adds to the preprocessing, with the values that version 1 stands for."""
    order = preprocessing.get("channel_order", "rgb")
    if order not in CHANNEL_ORDERS:
        raise UserError(f"{path}: channel_order is {order!r}; known: {', '.join(CHANNEL_ORDERS)}")
    mean, deviation = (
        _a_number_a_channel(path, name, preprocessing.get(name, [usual]), preprocessing)
        for name, usual in (("mean", 0.0), ("deviation", 1.0))
    )
    for value in deviation:
        _positive(path, "deviation", value)
    return Normalisation(mean, deviation, order)


def _a_number_a_channel(
    path: Path, name: str, values: Any, preprocessing: Mapping[str, Any]
) -> tuple[float, ...]:
    lengths = (1, preprocessing["image_channels"])
    if (
        not isinstance(values, list)
        or len(values) not in lengths
        or not all(map(_is_number, values))
    ):
        raise UserError(f"{path} is damaged: {name} is {values!r}, not a number a channel")
    return tuple(map(float, values))


def _frequencies(path: Path, stored: Mapping[str, Any]) -> tuple[float, ...] | None:
    values, names = stored.get("class_frequencies"), stored["expression_names"]
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != len(names):
        raise UserError(f"{path} is damaged: class_frequencies is {values!r}, not a number a class")
    return tuple(_positive(path, "class_frequencies", value) for value in values)


def _share(path: Path, name: str, value: Any) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        raise UserError(f"{path} is damaged: {name} is {value!r}, not a number from 0 to 1")
    return float(value)


def _positive(path: Path, name: str, value: Any) -> float:
    if not _is_number(value) or value <= 0:
        raise UserError(f"{path} is damaged: {name} is {value!r}, not a number above 0")
    return float(value)


def _is_number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)  # a bool is an int, too
    except OverflowError:  # whole numbers have no end in JSON
        return False

"""The annotations that the program of Emotion-GCN writes, read without running anything in them.

Source: spec Emotion-GCN 5 and 6. Both files hold a dictionary of two lists, `train` and `val`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tdgan_jax.data.safe_pickles import Pickled, read_pickle, to_array, to_number
from tdgan_jax.errors import UserError

AFFECTNET_CLASS = "dataloading.AffectNet_annotation"
AFF_WILD2_CLASS = "dataloading.Affwild2_annotation"
PARTS = ("train", "val")

Row = TypeVar("Row")


class AffectNetRow(NamedTuple):
    """One face of AffectNet.

    Attributes:
        image_path: As the owner names it, from the folder of the images.
        face_box: Left, top, width and height in pixels.
        expression: AffectNet's code.
        valence: In [-1, 1].
        arousal: In [-1, 1].
        left_eye: Centre of the eye on the left of the image, x and y in pixels.
        right_eye: Of the other eye.
    """

    image_path: str
    face_box: tuple[int, int, int, int]
    expression: int
    valence: float
    arousal: float
    left_eye: tuple[int, int]
    right_eye: tuple[int, int]


class AffWild2Row(NamedTuple):
    """One frame of Aff-Wild2.

    Attributes:
        frame_path: With the folder that the program was given.
        expression: Aff-Wild2's code.
        valence: In [-1, 1].
        arousal: In [-1, 1].
    """

    frame_path: str
    expression: int
    valence: float
    arousal: float


def read_affectnet_annotations(path: Path) -> dict[str, list[AffectNetRow]]:
    """Reads `data_affectnet.pkl`.

    Returns:
        The rows of `PARTS`.

    Raises:
        UserError: If the file cannot be read, is damaged, names foreign classes, or an annotation
            lacks a value or has an impossible one; says which.
    """
    return _read(path, AFFECTNET_CLASS, _affectnet_row)


def read_aff_wild2_annotations(path: Path) -> dict[str, list[AffWild2Row]]:
    """Reads `data_affwild2.pkl`.

    Returns:
        The rows of `PARTS`.

    Raises:
        UserError: As `read_affectnet_annotations`.
    """
    return _read(path, AFF_WILD2_CLASS, _aff_wild2_row)


def _read(path: Path, kind: str, row: Callable[[Any], Row]) -> dict[str, list[Row]]:
    content = read_pickle(path, allowed=(kind,))
    is_whole = isinstance(content, dict) and all(
        isinstance(content.get(part), list) for part in PARTS
    )
    if not is_whole:
        raise UserError(f"{path} holds no annotations: no lists {' and '.join(PARTS)}")
    return {part: _rows(f"{path}: {part}", content[part], kind, row) for part in PARTS}


def _rows(place: str, annotations: list[Any], kind: str, row: Callable[[Any], Row]) -> list[Row]:
    rows = []
    for i, annotation in enumerate(annotations):
        if not isinstance(annotation, Pickled) or annotation.name != kind:
            raise UserError(f"{place}[{i}] is no {kind.rpartition('.')[2]}")
        try:
            rows.append(row(annotation.state))
        except KeyError as error:
            raise UserError(f"{place}[{i}] has no {error.args[0]}") from error
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{place}[{i}]: {error}") from error
    return rows


def _affectnet_row(fields: Any) -> AffectNetRow:
    left, top, width, height = (
        _integer(fields, f"face_{side}") for side in ("x", "y", "width", "height")
    )
    return AffectNetRow(
        image_path=_text(fields, "image_path"),
        face_box=(left, top, width, height),
        expression=_integer(fields, "expression"),
        valence=_affect(fields, "valence"),
        arousal=_affect(fields, "arousal"),
        left_eye=_point(fields, "left_eye"),
        right_eye=_point(fields, "right_eye"),
    )


def _aff_wild2_row(fields: Any) -> AffWild2Row:
    return AffWild2Row(
        frame_path=_text(fields, "frame_path"),
        expression=_integer(fields, "expression"),
        valence=_affect(fields, "valence"),
        arousal=_affect(fields, "arousal"),
    )


def _text(fields: Any, name: str) -> str:
    if not isinstance(fields[name], str):
        raise ValueError(f"{name} is no text")
    return fields[name]


def _number(fields: Any, name: str) -> float:
    value = fields[name]
    try:
        # Read from a table, numbers may have stayed texts.
        return float(value) if isinstance(value, str) else to_number(value)
    except ValueError as error:
        raise ValueError(f"{name} is no number") from error


def _integer(fields: Any, name: str) -> int:
    number = _number(fields, name)
    if number != int(number):
        raise ValueError(f"{name} is {number}, no whole number")
    return int(number)


def _affect(fields: Any, name: str) -> float:
    number = float(_number(fields, name))
    if not -1 <= number <= 1:
        raise ValueError(f"{name} is {number}, not in [-1, 1]")
    return number


def _point(fields: Any, name: str) -> tuple[int, int]:
    try:
        x, y = to_array(fields[name]).tolist()
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is no array of two numbers") from error
    return int(x), int(y)

"""The annotations that the program of Emotion-GCN writes, read without running anything in them.

Source: spec Emotion-GCN 5 and 6. Both files hold a dictionary of two lists, `train` and `val`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from tdgan_jax.data.safe_pickles import (
    MAX_PICKLE_BYTES,
    Pickled,
    load_pickle,
    to_array,
    to_number,
)
from tdgan_jax.errors import UserError
from tdgan_jax.files import check_file, open_file, reason
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.printing import printable

AFFECTNET_CLASS = "dataloading.AffectNet_annotation"
AFF_WILD2_CLASS = "dataloading.Affwild2_annotation"
PARTS = ("train", "val")

_LARGEST = 10**9  # of codes and pixels

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
    return _read(path, load_affectnet_annotations)


def read_aff_wild2_annotations(path: Path) -> dict[str, list[AffWild2Row]]:
    """Reads `data_affwild2.pkl`.

    Returns:
        The rows of `PARTS`.

    Raises:
        UserError: As `read_affectnet_annotations`.
    """
    return _read(path, load_aff_wild2_annotations)


def annotations_of_source(
    tree: SourceTree, name: str, load: Callable[[IO[bytes], str], dict[str, list[Row]]]
) -> dict[str, list[Row]]:
    """Reads a file of annotations that lies in a source.

    Args:
        tree: The source.
        name: One of its files.
        load: `load_affectnet_annotations` or `load_aff_wild2_annotations`.

    Returns:
        The rows of `PARTS`.

    Raises:
        UserError: As `read_affectnet_annotations`.
    """
    try:
        with tree.open(name, limit_bytes=MAX_PICKLE_BYTES) as file:
            return load(file, printable(name))
    except OSError as error:
        raise UserError(f"cannot read {printable(name)}: {reason(error)}") from error


def load_affectnet_annotations(file: IO[bytes], source: str) -> dict[str, list[AffectNetRow]]:
    """As `read_affectnet_annotations`, from an open file.

    Args:
        file: At its beginning.
        source: What to call it in messages.

    Raises:
        OSError: If it cannot be read.
    """
    return _load(file, source, AFFECTNET_CLASS, _affectnet_row)


def load_aff_wild2_annotations(file: IO[bytes], source: str) -> dict[str, list[AffWild2Row]]:
    """As `read_aff_wild2_annotations`, from an open file; see `load_affectnet_annotations`."""
    return _load(file, source, AFF_WILD2_CLASS, _aff_wild2_row)


def _read(path: Path, load: Callable[[IO[bytes], str], dict[str, list[Row]]]) -> Any:
    try:
        check_file(path, limit_bytes=MAX_PICKLE_BYTES)
        with open_file(path) as file:
            return load(file, str(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error


def _load(
    file: IO[bytes], source: str, kind: str, row: Callable[[Any], Row]
) -> dict[str, list[Row]]:
    content = load_pickle(file, allowed=(kind,), source=source)
    is_whole = isinstance(content, dict) and all(
        isinstance(content.get(part), list) for part in PARTS
    )
    if not is_whole:
        raise UserError(f"{source} holds no annotations: no lists {' and '.join(PARTS)}")
    return {part: _rows(f"{source}: {part}", content[part], kind, row) for part in PARTS}


def _rows(place: str, annotations: list[Any], kind: str, row: Callable[[Any], Row]) -> list[Row]:
    rows = []
    for i, annotation in enumerate(annotations):
        if not isinstance(annotation, Pickled) or annotation.name != kind:
            raise UserError(f"{place}[{i}] is no {kind.rpartition('.')[2]}")
        try:
            rows.append(row(annotation.state))
            annotations[i] = None  # of hundreds of thousands, several times as large as their rows
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
    if abs(number) > _LARGEST:
        raise ValueError(f"{name} is larger than {_LARGEST}")
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
    if not max(abs(x), abs(y)) <= _LARGEST:
        raise ValueError(f"{name} is no point of an image")
    return int(x), int(y)

"""What a row of AffectNet's tables, or the name of a file that a program wrote, says of a face."""

import functools
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from tdgan_jax.data.image_files import BadImage
from tdgan_jax.errors import UserError
from tdgan_jax.expressions import AFFECTNET_CODES, checked_path
from tdgan_jax.preparation.annotation_pickles import AffectNetRow
from tdgan_jax.preparation.owners_boxes import Eyes, OwnersBox
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.preparation.tables import read_lines, read_rows

COLUMNS = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)
"""The columns of the owner's tables, in their order."""

NAME = (
    r"(?P<id>\d{7,})(?P<mark>[s_])(?P<expression>\d{1,9})(?P=mark)"
    r"(?P<valence>-?\d{1,9})(?P=mark)(?P<arousal>-?\d{1,9})\.jpe?g"
)
"""The names of the programs' files; valence and arousal are in thousandths."""

# Of 68 landmarks: the eye on the left of the image, then the other.
_NUM_LANDMARKS = 68
_EYES = (slice(36, 42), slice(42, 48))
_UNKNOWN = -2  # valence and arousal of what is no face


class Face(NamedTuple):
    """One face.

    Attributes:
        path: Of its photograph, as the owner names it.
        expression: AffectNet's code.
        affect: Valence and arousal.
        box: Where in the photograph it is; None where the file holds the face alone.
    """

    path: str
    expression: int
    affect: tuple[float, float]
    box: OwnersBox | None = None


def table_rows(tree: SourceTree, table: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Reads a table, of which some lack the line with the names of the columns.

    Args:
        tree: The source.
        table: The csv file.

    Yields:
        Number of the line and the values by `COLUMNS`; those that are not there are missing.

    Raises:
        UserError: As `tables.read_rows`.
    """
    opened = functools.partial(tree.open, table)
    _, first = next(read_lines(opened, table), (0, []))
    # Whatever parts them.
    if any(column.casefold() in ",".join(first).casefold() for column in COLUMNS):
        yield from read_rows(opened, table, COLUMNS)
        return
    for line, values in read_lines(opened, table):
        yield line, dict(zip(COLUMNS, values, strict=False))


def expression_code(text: str) -> int:
    """Reads AffectNet's code of an expression.

    Raises:
        BadImage: If it is none.
    """
    return _checked_code(_whole(text, "expression"))


def _checked_code(code: int) -> int:
    if code not in AFFECTNET_CODES:
        raise BadImage(f"the expression {code} is not one of 0 to {max(AFFECTNET_CODES)}")
    return code


def face_of_row(row: Mapping[str, str], *, level_eyes: bool) -> Face:
    """What a row of the owner's tables says.

    Args:
        row: Its values by `COLUMNS`.
        level_eyes: Whether its landmarks are needed, to make the eyes level.

    Returns:
        The face.

    Raises:
        BadImage: If a value is missing or impossible.
    """
    missing = [column for column in COLUMNS if column not in row]
    if missing:
        raise BadImage(f"the column {missing[0]} is missing")
    left, top, width, height = (
        _whole(row[column], column) for column in COLUMNS if column.startswith("face_")
    )
    eyes = _eyes(row["facial_landmarks"]) if level_eyes else None
    return Face(
        path=_checked_path(row["subDirectory_filePath"]),
        expression=expression_code(row["expression"]),
        affect=_affect(_number(row["valence"], "valence"), _number(row["arousal"], "arousal")),
        box=OwnersBox(left, top, width, height, eyes),
    )


def face_of_name(path: str, match: Mapping[str, str]) -> Face:
    """What the name of a file says in which a program put a face.

    Args:
        path: The file, from the top of the layout.
        match: The groups of `NAME`.

    Returns:
        The face.

    Raises:
        BadImage: If a value is impossible.
    """
    valence, arousal = (int(match[name]) / 1000 for name in ("valence", "arousal"))
    return Face(path, expression_code(match["expression"]), _affect(valence, arousal))


def face_of_annotation(row: AffectNetRow, *, level_eyes: bool) -> Face:
    """What an annotation of Emotion-GCN's program says.

    Args:
        row: The annotation.
        level_eyes: Whether the eyes are to be made level.

    Returns:
        The face.

    Raises:
        BadImage: If the expression or the path is none.
    """
    eyes = Eyes(*row.left_eye, *row.right_eye) if level_eyes else None
    return Face(
        path=_checked_path(row.image_path),
        expression=_checked_code(row.expression),
        affect=(row.valence, row.arousal),
        box=OwnersBox(*row.face_box, eyes),
    )


def _checked_path(text: str) -> str:
    try:
        return checked_path(text, "the path of the image").replace("\\", "/")
    except UserError as error:
        raise BadImage(str(error)) from error


def _affect(valence: float, arousal: float) -> tuple[float, float]:
    for name, value in (("valence", valence), ("arousal", arousal)):
        if value != _UNKNOWN and not -1 <= value <= 1:
            raise BadImage(f"{name} is {value:g}, not in [-1, 1]")
    known = [math.nan if value == _UNKNOWN else value for value in (valence, arousal)]
    return known[0], known[1]


def _eyes(landmarks: str) -> Eyes:
    try:
        points = np.array(landmarks.split(";"), np.float64)
    except ValueError:
        points = np.empty(0)
    if len(points) != 2 * _NUM_LANDMARKS or not np.isfinite(points).all():
        raise BadImage(f"facial_landmarks are not {_NUM_LANDMARKS} points")
    points = points.reshape(-1, 2)
    return Eyes(*(int(value) for eye in _EYES for value in points[eye].mean(axis=0)))


def _number(text: str, column: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadImage(f"{column} is {text[:40]!r}, no number") from error


def _whole(text: str, column: str) -> int:
    number = _number(text, column)
    if not number.is_integer():
        raise BadImage(f"{column} is {text[:40]!r}, no whole number")
    return int(number)

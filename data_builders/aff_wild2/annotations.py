"""Aff-Wild2's files of annotations: one a video, a line a frame behind the line of column names."""

import re
from collections.abc import Iterator
from typing import NoReturn

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import AFF_WILD2_CODES, class_name
from tdgan_jax.printing import printable

INVALID = -1
OTHER = 7
"""Of later challenges: an expression that is none of the seven."""

_SIDES = re.compile(r"_(left|right)$", re.IGNORECASE)


def people_of(video: str) -> str:
    """The video that a name belongs to, whichever of its people it shows.

    Args:
        video: Such as `video59_right`.

    Returns:
        Such as `video59`.
    """
    return _SIDES.sub("", video)


def expressions_of(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Reads the expressions of a video.

    Args:
        text: Content of the file.
        name: What to call it in messages.

    Yields:
        Number of the frame and its code, `INVALID` and `OTHER` included.

    Raises:
        UserError: Names a line that holds none, or the classes are in another order.
    """
    _check_order(text, name)
    for number, line in _frames(text, name):
        code = line.strip()
        if not re.fullmatch(r"-1|\d", code) or int(code) > OTHER:
            _refuse(name, number, line, f"one of {INVALID} to {OTHER}")
        yield number, int(code)


def affects_of(text: str, name: str) -> np.ndarray:
    """Reads valence and arousal of a video.

    Args:
        text: Content of the file.
        name: What to call it in messages.

    Returns:
        Float32 `[N, 2]`, the first frame's first; NaN where one of both is outside [-1, 1].

    Raises:
        UserError: Names a line that holds no two numbers, or the columns are in another order.
    """
    columns = [column.casefold() for column in _columns(text)]
    if columns[:2] == ["arousal", "valence"]:
        raise UserError(
            f"{printable(name)} has the columns arousal, valence; the owner's are valence, arousal"
        )
    rows = []
    for number, line in _frames(text, name):
        try:
            valence, arousal = map(float, line.split(","))
        except ValueError:
            _refuse(name, number, line, "two numbers such as 0.25,-0.5")
        rows.append((valence, arousal))
    affects = np.array(rows, np.float64).reshape(-1, 2)
    is_valid = (np.abs(affects) <= 1).all(axis=1, keepdims=True)
    return np.where(is_valid, affects, np.nan).astype(np.float32)


def _frames(text: str, name: str) -> Iterator[tuple[int, str]]:
    """The lines behind the first one, which names the columns or the classes."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n")
    if re.fullmatch(r"[-+.,\d\s]*", lines[0]):
        raise UserError(
            f"{printable(name)} begins with {printable(lines[0][:40])!r}, not with the names of "
            "its columns: all labels would be those of another frame"
        )
    yield from enumerate(lines[1:], start=1)


def _check_order(text: str, name: str) -> None:
    """Refuses a file whose first line names the classes in another order than the owner's."""
    owners = list(AFF_WILD2_CODES.values())
    found = [class_name(spelling) for spelling in _columns(text) if spelling]
    known = [owners.index(name) == code for code, name in enumerate(found) if name in owners]
    if not all(known):
        raise UserError(
            f"{printable(name)} has the classes {', '.join(found)}; the owner's are "
            f"{', '.join(owners)}, in this order"
        )


def _columns(text: str) -> list[str]:
    """The names in the first line."""
    return [name.strip() for name in re.split(r"[,;\t]", text.splitlines()[0] if text else "")]


def _refuse(name: str, number: int, line: str, expected: str) -> NoReturn:
    raise UserError(
        f"{printable(name)} line {number + 1} is {printable(line.strip()[:40])!r}, not {expected}"
    )

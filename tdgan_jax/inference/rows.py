"""Rows of `predict`: one a face, at least one a picture, as csv or JSON lines.

The columns are those of `columns`. Boxes are in pixels of the upright picture, times in seconds.
What does not apply is empty in csv and null in JSON.
"""

import contextlib
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from tdgan_jax.inference.outputs import staged_file, write_errors_of
from tdgan_jax.inference.recognition import Recognised

SUFFIXES = (".csv", ".jsonl")

_PICTURE_COLUMNS = ("file", "frame", "time_s")
_FACE_COLUMNS = ("left", "top", "right", "bottom", "status", "reason", "label")

Row = dict[str, Any]


def columns(expression_names: Sequence[str]) -> list[str]:
    """Names of the columns: of the picture, of the face, and a probability per expression."""
    return [*_PICTURE_COLUMNS, *_FACE_COLUMNS, *expression_names]


def rows_of(recognised: Recognised, expression_names: Sequence[str]) -> list[Row]:
    """The rows of a picture.

    Args:
        recognised: The picture with its faces.
        expression_names: Names in the order of the probabilities.

    Returns:
        One row a face, or a single one without a face; `reason` says why there is no picture.
    """
    picture = recognised.picture
    common: Row = dict.fromkeys(columns(expression_names))
    # Names that are no valid text on this system must not make the whole file invalid.
    common["file"] = os.fsencode(picture.file.path).decode(errors="backslashreplace")
    common["frame"] = picture.frame
    common["time_s"] = None if picture.time_s is None else round(picture.time_s, 6)
    common["status"] = recognised.status
    common["reason"] = picture.reason or None
    rows = []
    for face in recognised.faces:
        box = {
            side: round(float(edge), 1)
            for side, edge in zip(_FACE_COLUMNS[:4], face.box, strict=True)
        }
        probabilities = {
            name: round(float(value), 6)
            for name, value in zip(expression_names, face.probabilities, strict=True)
        }
        rows.append(common | box | {"label": face.label} | probabilities)
    return rows or [common]


@contextlib.contextmanager
def row_writer(
    out: Path | None, expression_names: Sequence[str]
) -> Iterator[Callable[[Sequence[Row]], None]]:
    """Opens the place where rows go.

    Args:
        out: A file that ends in one of `SUFFIXES`, complete when the block has ended well and
            absent otherwise; None for csv on stdout, row by row.
        expression_names: Names of the expressions.

    Yields:
        A function that writes rows.

    Raises:
        UserError: If the file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        stream = sys.stdout if out is None else stack.enter_context(staged_file(out))
        target = Path("the standard output") if out is None else out
        with write_errors_of(target):
            if out is not None and out.suffix.lower() == ".jsonl":
                write = _json_writer(stream)
            else:
                write = _csv_writer(stream, expression_names)

        def write_or_say_where(rows: Sequence[Row]) -> None:
            with write_errors_of(target):
                write(rows)

        yield write_or_say_where
        with write_errors_of(target):
            stream.flush()


def _csv_writer(stream: TextIO, expression_names: Sequence[str]) -> Callable[[Sequence[Row]], None]:
    writer = csv.DictWriter(stream, columns(expression_names), lineterminator="\n")
    writer.writeheader()
    return writer.writerows


def _json_writer(stream: TextIO) -> Callable[[Sequence[Row]], None]:
    return lambda rows: stream.writelines(json.dumps(row) + "\n" for row in rows)

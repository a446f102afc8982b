"""How far an interrupted run came: `rows.csv.partial.json`, beside its rows `rows.csv.partial`."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import fastjsonschema

from tdgan_jax.errors import UserError
from tdgan_jax.files import read_json
from tdgan_jax.inference.names import fitting
from tdgan_jax.printing import printable

_COUNT = {"type": "integer", "minimum": 0}
_SCHEMA = {
    "type": "object",
    "properties": {
        "made_with": {"type": "object"},
        "files": _COUNT,
        "num_bytes": _COUNT,
        "names": {"type": "string"},
        "counts": {"type": "object", "additionalProperties": _COUNT},
    },
    "required": ["made_with", "files", "num_bytes", "names", "counts"],
    "additionalProperties": False,
}


class Progress(NamedTuple):
    """What is complete.

    Attributes:
        made_with: The columns, the digest of the model, the value of each option, by their names.
        files: How many files have all their rows.
        num_bytes: The length of these rows.
        names: SHA-256 of the paths of these files, each with a null character after it.
        counts: Their pictures by status.
    """

    made_with: Mapping[str, Any]
    files: int = 0
    num_bytes: int = 0
    names: str = hashlib.sha256().hexdigest()
    counts: Mapping[str, int] = {}


class Paths(NamedTuple):
    """The files beside an output: rows, progress, and progress that is being written."""

    rows: Path
    progress: Path
    new: Path


def paths_of(out: Path) -> Paths:
    """The names beside an output, cut where they would be too long."""
    endings = (".partial", ".partial.json", ".partial.new")
    return Paths(*(out.with_name(fitting(out.name, ending)) for ending in endings))


def progress_of(out: Path) -> Progress | None:
    """What an interrupted run has left.

    Args:
        out: The file that it would have written.

    Returns:
        Its progress; None if nothing is there.

    Raises:
        UserError: If something else is there, or it is damaged.
    """
    paths = paths_of(out)
    try:
        status = os.lstat(paths.rows)
    except OSError:
        return None
    if stat.S_ISREG(status.st_mode) and not status.st_size:
        return None
    try:
        if not stat.S_ISREG(status.st_mode):
            raise UserError("it is no file")
        progress = Progress(**fastjsonschema.validate(_SCHEMA, read_json(paths.progress)))
        if progress.num_bytes > status.st_size:
            raise UserError(f"it is shorter than {progress.num_bytes:,} bytes")
    except (UserError, fastjsonschema.JsonSchemaException) as error:
        raise UserError(
            f"{printable(paths.rows)} is in the way and cannot be gone on with ({error}); move it "
            "away, or name another output"
        ) from error
    return progress


def write_progress(paths: Paths, progress: Progress) -> None:
    """Replaces what is written of the progress; it is on the disk after that.

    Raises:
        OSError: If it cannot be written.
    """
    with open(paths.new, "w", encoding="utf-8") as file:
        json.dump(progress._asdict(), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(paths.new, paths.progress)

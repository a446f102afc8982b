"""Outputs that appear whole or not at all: written under a hidden name, renamed at the end."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from tdgan_jax.errors import UsageError, UserError


def check_file(path: Path, suffixes: Sequence[str], option: str, *, overwrite: bool) -> None:
    """Refuses a file that cannot or must not be written, before any work is done.

    Args:
        path: What the user wants written.
        suffixes: The kinds of file that can be.
        option: Name of the command's option, for the message.
        overwrite: Whether a file that exists may be replaced.

    Raises:
        UsageError: If the suffix is another one.
        UserError: If the path is a folder, or exists and must stay.
    """
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{option} {path}: the name must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise UserError(f"{path} is a folder; {option} takes the name of a file")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists; add --overwrite to replace it")


def check_no_input(out: Path, given: Iterable[str | Path]) -> None:
    """Refuses an output that would replace an input, whatever else is allowed.

    Args:
        out: A file or folder to be written.
        given: Files and folders that are read.

    Raises:
        UserError: If it is one of them, or the folder of one.
    """
    for path in map(Path, given):
        if out.resolve() in (path.resolve(), path.resolve().parent):
            raise UserError(f"{out} is read as well as written; name another output")


def check_folder(path: Path, option: str, *, overwrite: bool) -> None:
    """Refuses a folder that cannot or must not be written into.

    Raises:
        UserError: If the path is a file, or a folder that holds something and must stay as it is.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file; {option} takes the name of a folder")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise UserError(f"{path} is not empty; add --overwrite to replace files in it")


@contextlib.contextmanager
def staged_file(path: Path) -> Iterator[TextIO]:
    """Opens a text file that takes its name when the block ends well; otherwise it is removed.

    Yields:
        A stream of UTF-8 text.

    Raises:
        UserError: If it cannot be written.
    """
    staging = _staging(path, path.parent)
    try:
        with write_errors_of(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(staging, "w", encoding="utf-8", newline="")
        try:
            yield file
            with write_errors_of(path):
                file.flush()
                os.fsync(file.fileno())
                os.replace(staging, path)
        finally:
            with contextlib.suppress(OSError):  # of what is left in the buffer after a failure
                file.close()
    finally:
        if staging.exists():
            staging.unlink()


@contextlib.contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Makes a folder whose files come to stand in `path` when the block ends well.

    Files that are in `path` and have no namesake among the new ones stay.

    Yields:
        An empty folder on the same file system: in `path` if that is there, else beside it.

    Raises:
        UserError: If it cannot be written.
    """
    # What the folder stands in need not be writable.
    staging = _staging(path, path if path.is_dir() else path.parent)
    try:
        with write_errors_of(path):
            staging.mkdir(parents=True)
        yield staging
        with write_errors_of(path):
            if path.exists():
                _move_files(staging, path)
            else:
                staging.rename(path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def write_errors_of(path: Path) -> Iterator[None]:
    """Says of what could not be written in the block which output it belongs to.

    Raises:
        UserError: In the place of an `OSError`: no space, no permission.
        BrokenPipeError: As it is; who reads the output has had enough.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _staging(path: Path, folder: Path) -> Path:
    # The current folder, `.`, has a name only as an absolute path.
    return folder / f".{path.absolute().name}.{os.getpid()}.tmp"


def _move_files(source: Path, destination: Path) -> None:
    for file in sorted(source.rglob("*")):  # A folder comes before what is in it.
        target = destination / file.relative_to(source)
        if file.is_dir():
            target.mkdir(exist_ok=True)
        else:
            os.replace(file, target)

"""Outputs that appear whole or not at all: written under a hidden name, renamed at the end.

No output takes the place of a file that the command has read, whatever that file is called.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.inference.names import fitting, free_path
from tdgan_jax.printing import printable


class ReadFiles:
    """The files that a command has read: links to one, hard ones too, count as that file."""

    def __init__(self, paths: Iterable[str | Path] = ()):
        """Begins with some; those that are not there have nothing to lose."""
        self._identities: set[tuple[int, int]] = set()
        for path in paths:
            self.add(path)

    def add(self, path: str | Path) -> None:
        """Remembers a file."""
        if (identity := _identity(path)) is not None:
            self._identities.add(identity)

    def __contains__(self, path: str | Path) -> bool:
        """Whether a path leads to one of them."""
        return _identity(path) in self._identities


def _identity(path: str | Path) -> tuple[int, int] | None:
    """What a file is under all of its names; None for no file."""
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None


def check_file(path: Path, suffixes: Sequence[str], option: str, *, overwrite: bool) -> None:
    """Refuses a file that cannot or must not be written, before any work is done.

    Args:
        path: What the user wants written.
        suffixes: The kinds of file that can be.
        option: Name of the command's option, for the message.
        overwrite: Whether a file that exists may be replaced.

    Raises:
        UsageError: If the suffix is another one.
        UserError: If the path is a folder, a link to nothing, or exists and must stay.
    """
    if path.suffix.lower() not in suffixes:
        raise UsageError(
            f"{option} {printable(path)}: the name must end in {' or '.join(suffixes)}"
        )
    if path.is_dir():
        raise UserError(f"{printable(path)} is a folder; {option} takes the name of a file")
    check_no_dangling_link(path)
    if path.exists() and not overwrite:
        raise UserError(f"{printable(path)} exists; add --overwrite to replace it")


def check_no_dangling_link(path: Path) -> None:
    """Refuses a link to nothing: it was made for another place.

    Raises:
        UserError: If the path is one.
    """
    if path.is_symlink() and not path.exists():
        raise UserError(
            f"{printable(path)} is a link to {printable(os.readlink(path))}, which is not there; "
            "name the file itself"
        )


def check_no_input(
    out: Path, given: Iterable[str | Path], *, model: str | Path | None = None
) -> None:
    """Refuses an output that would replace an input, whatever else is allowed.

    Args:
        out: A file or folder to be written.
        given: Files and folders that are read.
        model: Model or run that is read: none of the files in its folder may be replaced.

    Raises:
        UserError: If it is one of them or another name of one, or the folder of one.
    """
    target = out.resolve()
    is_read = out in ReadFiles(given)
    is_read |= any(target in (path.resolve(), path.resolve().parent) for path in map(Path, given))
    if model is not None and out.exists():
        is_read |= Path(model).resolve() in (target, *target.parents)
    if is_read:
        raise UserError(f"{printable(out)} is read as well as written; name another output")


def check_no_overlap(out: Path, source: str | Path) -> None:
    """Refuses a folder whose replacement would take away what is read.

    Args:
        out: The folder that is made, or replaced.
        source: A file or folder that is read.

    Raises:
        UserError: If the source is the folder, or lies in it.
    """
    if out.resolve() in (Path(source).resolve(), *Path(source).resolve().parents):
        raise UserError(f"{printable(out)} is read as well as written; name another output")


def check_folder(path: Path, option: str, *, overwrite: bool) -> None:
    """Refuses a folder that cannot or must not be written into.

    Raises:
        UserError: If the path is a file, or a folder that holds something and must stay as it is.
    """
    check_no_dangling_link(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{printable(path)} is a file; {option} takes the name of a folder")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise UserError(f"{printable(path)} is not empty; add --overwrite to replace files in it")


@contextlib.contextmanager
def staged_file(path: Path) -> Iterator[TextIO]:
    """Opens a text file that takes its name when the block ends well; otherwise it is removed.

    Yields:
        A stream of UTF-8 text.

    Raises:
        UserError: If it cannot be written.
    """
    with staged_path(path) as staging:
        with write_errors_of(path):
            file = open(staging, "w", encoding="utf-8", newline="")
        try:
            yield file
            with write_errors_of(path):
                file.flush()
                os.fsync(file.fileno())
        finally:
            with contextlib.suppress(OSError):  # of what is left in the buffer after a failure
                file.close()


@contextlib.contextmanager
def staged_path(path: Path) -> Iterator[Path]:
    """Gives a hidden name whose file takes its own name when the block ends well.

    Yields:
        The name of a file that is to be written, in the same folder, which is there.

    Raises:
        UserError: If the folder cannot be made, or the file cannot take its name.
    """
    staging = _staging(path, path.parent)
    try:
        with write_errors_of(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        yield staging
        with write_errors_of(path):
            os.replace(staging, path)
    finally:
        if staging.exists():
            staging.unlink()


@contextlib.contextmanager
def staged_folder(path: Path, read: ReadFiles | None = None) -> Iterator[Path]:
    """Makes a folder whose files come to stand in `path` when the block ends well.

    Files that are in `path` and have no namesake among the new ones stay; so do folders, and files
    that the command has read: their namesakes get a number.

    Args:
        path: The folder.
        read: The files that have been read when the block ends.

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
                _move_files(staging, path, read or ReadFiles())
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
        raise UserError(f"cannot write {printable(path)}: {error.strerror or error}") from error


def _staging(path: Path, folder: Path) -> Path:
    # The current folder, `.`, has a name only as an absolute path.
    return folder / fitting(f".{path.absolute().name}", f".{os.getpid()}.tmp")


def _move_files(source: Path, destination: Path, read: ReadFiles) -> None:
    for file in sorted(source.iterdir()):
        target = destination / file.name
        if file.is_dir():
            target = free_path(target, lambda path: path.exists() and not path.is_dir())
            target.mkdir(exist_ok=True)
            _move_files(file, target, read)
        else:
            os.replace(file, free_path(target, lambda path: path.is_dir() or path in read))

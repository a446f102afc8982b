"""Rows of a run that may be interrupted: what is complete of them stays, and can be gone on with.

Beside `rows.csv` stand `rows.csv.partial`, the rows, and `rows.csv.partial.json`: how many bytes of
them belong to files that are complete, how many files these are, and what they were made with. Both
go when the rows take their name. However the process ends: rows are on the disk before they are
counted, and what was not counted is cut off when the run is resumed.
"""

import contextlib
import hashlib
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tdgan_jax.errors import UserError
from tdgan_jax.inference.outputs import write_errors_of
from tdgan_jax.inference.progress import Progress, paths_of, progress_of, write_progress
from tdgan_jax.printing import printable
from tdgan_jax.runs.lock import lock

if TYPE_CHECKING:
    from tdgan_jax.inference.inputs import InputFile
    from tdgan_jax.inference.recognition import Recognised

SAVE_SECONDS = 1.0
"""How often it is written down what is complete: about that much work is done again."""


def check_start(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuses to lose what an interrupted run has left, before any work is done.

    Args:
        out: The file that is to be written.
        resume: Whether the interrupted run is gone on with.
        overwrite: Whether its rows may be lost.

    Raises:
        UserError: If they would be.
    """
    progress = progress_of(out)
    if progress is not None and progress.files and not (resume or overwrite):
        raise UserError(
            f"{printable(paths_of(out).rows)} holds the rows of {progress.files:,} files of an "
            "interrupted run; add --resume to go on with them, or --overwrite to begin anew"
        )
    if resume and progress is not None and out.exists() and not overwrite:
        raise UserError(f"{printable(out)} exists; add --overwrite to replace it")


def is_complete(out: Path) -> bool:
    """Whether the rows have their name: no run is interrupted, and nothing is to be resumed."""
    return out.exists() and progress_of(out) is None


class UnfinishedRows:
    """Rows that are being written.

    Attributes:
        stream: Where the next rows go.
        begun: What was complete at the start.
        saved: What would be complete after an interruption.
    """

    def __init__(self, stream: TextIO, out: Path, begun: Progress):
        """Goes on after what is complete.

        Args:
            stream: The rows; who writes into it has cut off what is not complete.
            out: The file that is to be written.
            begun: What is complete.
        """
        self.stream = stream
        self.begun = self.saved = self._complete = begun
        self._out, self._paths = out, paths_of(out)
        self._names = hashlib.sha256()
        self._num_files = 0
        self._last: Recognised | None = None
        self._saved_s = time.monotonic()

    def left(self, files: Iterable["InputFile"]) -> Iterator["InputFile"]:
        """Leaves out the files whose rows are there.

        Args:
            files: All files.

        Raises:
            UserError: If the first of them are not those whose rows are there.
        """
        files = iter(files)
        for file in itertools.islice(files, self.begun.files):
            self._add(file)
        if (self._num_files, self._names.hexdigest()) != (self.begun.files, self.begun.names):
            raise UserError(
                f"{printable(self._paths.rows)} was begun with another list of files; give the "
                "same, or add --overwrite in the place of --resume to begin anew"
            )
        yield from files

    def note(self, result: "Recognised", counts: Mapping[str, int]) -> None:
        """Takes notice of a picture before its rows are written.

        Files are complete where a batch begins with a file: what follows is then the same, to the
        last digit, whether it is gone on with or begun there.

        Args:
            result: The picture.
            counts: All pictures before it by status.

        Raises:
            UserError: If the rows before cannot be written.
        """
        file = result.picture.file
        if self._last is None or file is not self._last.picture.file:
            if self._last is not None and self._last.ends_batch:
                self._note_complete(counts)
            if file is not None:
                self._add(file)
        self._last = result

    def save(self) -> None:
        """Writes down what is complete, if that is more than before.

        Raises:
            UserError: If it cannot be written.
        """
        if self._complete is self.saved:
            return
        with write_errors_of(self._out):
            os.fsync(self.stream.fileno())
            write_progress(self._paths, self._complete)
        self.saved, self._saved_s = self._complete, time.monotonic()

    def finish(self) -> None:
        """Gives the rows their name.

        Raises:
            UserError: If that cannot be done.
        """
        with write_errors_of(self._out):
            self.stream.flush()
            os.fsync(self.stream.fileno())
            os.replace(self._paths.rows, self._out)
            self._paths.progress.unlink()

    def _add(self, file: "InputFile") -> None:
        self._names.update(os.fsencode(file.path) + b"\0")
        self._num_files += 1

    def _note_complete(self, counts: Mapping[str, int]) -> None:
        with write_errors_of(self._out):
            self.stream.flush()
        self._complete = self.begun._replace(
            files=self._num_files,
            num_bytes=os.fstat(self.stream.fileno()).st_size,
            names=self._names.hexdigest(),
            counts=dict(counts),
        )
        if time.monotonic() - self._saved_s >= SAVE_SECONDS:
            self.save()


@contextlib.contextmanager
def unfinished_rows(
    out: Path, made_with: Mapping[str, Any], *, resume: bool
) -> Iterator[UnfinishedRows]:
    """Opens the rows of an output, which has its name when the block has ended well.

    After a failure or an interruption what is complete stays beside it, if that is anything.

    Args:
        out: The file that is to be written.
        made_with: The columns, the model, the options: see `Progress`.
        resume: Goes on with what an interrupted run has left, if it has; otherwise begins anew.

    Yields:
        The rows.

    Raises:
        UserError: If another process writes them, if they were made with something else, or cannot
            be written.
    """
    paths = paths_of(out)
    with contextlib.ExitStack() as stack:
        with write_errors_of(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            stream = stack.enter_context(_opened(paths.rows))
        _lock(stream, out)
        left = progress_of(out)  # Refuses what is of somebody else, also if it may be overwritten.
        begun = Progress(made_with)
        if resume and left is not None:
            _check_made_with(paths.rows, left.made_with, made_with)
            begun = left
        rows = UnfinishedRows(stream, out, begun)
        try:
            with write_errors_of(out):
                write_progress(paths, begun)
                stream.truncate(begun.num_bytes)
                stream.seek(0, os.SEEK_END)
            yield rows
            rows.finish()
        except BaseException:
            with contextlib.suppress(UserError, OSError):  # The reason for the failure is raised.
                rows.save()
            if not rows.saved.files:
                for path in paths:
                    path.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Opens a file for reading and writing, with what it holds; it is made if it is not there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    file = open(descriptor, "r+", encoding="utf-8", newline="")
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # of what is left in the buffer after a failure
            file.close()


def _lock(stream: TextIO, out: Path) -> None:
    """Makes sure that no other process writes the rows, nor has given them their name just now."""
    is_free = lock(stream.fileno()) is not False
    with contextlib.suppress(OSError):
        if is_free and os.path.samestat(os.stat(paths_of(out).rows), os.fstat(stream.fileno())):
            return
    raise UserError(f"another process writes {printable(out)}; name another output, or wait")


def _check_made_with(rows: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name, value in now.items():
        if before.get(name) != value:
            # A digest, or a list of columns, tells nobody anything.
            tells = name.startswith("--")
            values = f" ({before.get(name)}, now {value})" if tells else ""
            raise UserError(
                f"{printable(rows)} was begun with another {name}{values}; give the same, or add "
                "--overwrite in the place of --resume to begin anew"
            )

"""Read access to what a dataset's owner hands out: a folder, or the zip it was downloaded as.

A `SourceTree` names its files by relative paths with forward slashes, in Unicode's form NFC, and
reads them one at a time, so that nothing is unpacked and no archive is loaded whole. The order of
`names` does not depend on the file system.
"""

import errno
import io
import os
import posixpath
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn, Self

from tdgan_jax.errors import UserError
from tdgan_jax.files import MAX_PICTURE_BYTES, open_file, read_stream, reason
from tdgan_jax.preparation.zip_source import ZipSource
from tdgan_jax.printing import printable

MAX_STREAM_BYTES = 8 << 30
"""Of a table that is read line by line."""

TABLE_SUFFIXES = (".csv", ".tsv")

_CLUTTER = re.compile(r"(^|/)(__MACOSX/|\.|Thumbs\.db$|desktop\.ini$)")


class SourceTree:
    """The files below a folder or inside a zip file; close it, or use it in a `with` statement.

    Attributes:
        path: The folder, zip or csv file that was opened.
        names: Relative paths of all files in a fixed order; hidden files and the clutter that
            desktops leave behind are left out. Links are followed, into each folder once.
        folders: Relative paths of the folders, in a fixed order, whether they hold files or not.
    """

    def __init__(self, path: str | os.PathLike[str]):
        """Opens a source and lists its files.

        Args:
            path: A folder, a zip file, or a single csv file.

        Raises:
            UserError: If the path does not exist, is none of these, or cannot be read; or if two
                of its files have one name.
        """
        self.path = Path(os.path.expanduser(path))
        self._zip: ZipSource | None = None
        self._folder = self.path
        self._spelt: dict[str, dict[str, str]] = {}
        if os.path.isdir(self.path):
            found = list(_walked(self.path))
        elif not os.path.exists(self.path):
            raise UserError(f"the source {self.path} does not exist")
        elif (archive := self._opened_zip()) is not None:
            self._zip = archive
            found = archive.entries
        elif self.path.suffix.lower() in TABLE_SUFFIXES:
            self._folder = self.path.parent
            found = [(self.path.name, self.path.name)]
        else:
            raise UserError(
                f"the source {self.path} is neither a folder nor an intact zip file; "
                "unpack other archives and give the folder"
            )
        self._files: dict[str, str | zipfile.ZipInfo] = {}
        folders = set()
        for name, place in found:
            if _CLUTTER.search(name):
                continue
            folders.update(_parents(name))
            if name.endswith("/"):
                continue
            if self._files.setdefault(name, place) is not place:
                self.close()
                raise UserError(
                    f"{self.path} holds two files of the name {printable(name)}; remove one of them"
                )
        self.names = tuple(sorted(self._files))
        self.folders = tuple(sorted(folders))

    def _opened_zip(self) -> ZipSource | None:
        try:
            return ZipSource.opened(self.path)
        except OSError as error:
            raise UserError(f"cannot read the source {self.path}: {reason(error)}") from error

    def matches(self, pattern: str, *, anywhere: bool = False) -> list[re.Match[str]]:
        """Finds the files of a documented layout, wherever in the tree the layout starts.

        Args:
            pattern: Regular expression for a file's path from the top of the owner's layout. It is
                compared without regard to case.
            anywhere: Whether the files may lie in several folders, because the owner's layout is
                only in their names.

        Returns:
            One match per file, in the order of `names`. `match.string` is the full name, which
            `read` takes; the path without the folders above the layout is `match["path"]`.

        Raises:
            UserError: If the layout occurs more than once in the tree, below different folders.
        """
        expression = re.compile(f"(?P<root>(?:.*/)?)(?P<path>{pattern})", re.IGNORECASE)
        found = [match for name in self.names if (match := expression.fullmatch(name))]
        roots = sorted({match["root"] for match in found})
        if len(roots) > 1 and not anywhere:
            raise UserError(
                f"{self.path} holds the files more than once, in {printable(roots[0]) or './'} and "
                f"in {printable(roots[1])}; give one of them as the source"
            )
        return found

    def levels_below(self, pattern: str) -> int:
        """Tells how far below the top of a documented layout this source starts.

        Args:
            pattern: As for `matches`.

        Returns:
            How many folders of the layout the source already stands in; 0 if its files do not look
            like the lower part of the layout, or if it is no folder.
        """
        if not self.path.is_dir():
            return 0
        # What a name repeats of a folder's is not known any more below that folder; and a slash
        # between brackets excludes slashes from a name, it parts no folders.
        unrelated = re.sub(r"\(\?P=\w+\)", "[^/]+", pattern)
        parts = re.split(r"/(?![^\[]*\])", unrelated)
        for levels in range(1, len(parts)):
            lower = re.compile("/".join(parts[levels:]), re.IGNORECASE)
            if any(lower.fullmatch(name) for name in self.names):
                return levels
        return 0

    def read(self, name: str) -> bytes:
        """Gives the content of a file.

        Args:
            name: One of `names`, or of a csv file the path of an image from its folder.

        Returns:
            The bytes of the file.

        Raises:
            OSError: If the file cannot be read, also when it is damaged inside the zip, or is
                larger than `files.MAX_PICTURE_BYTES`; `files.reason` gives the message.
        """
        with self.open(name, limit_bytes=MAX_PICTURE_BYTES) as file:
            return read_stream(file, limit_bytes=MAX_PICTURE_BYTES)

    def open(self, name: str, *, limit_bytes: int = MAX_STREAM_BYTES) -> io.BufferedReader:
        """Opens a file as a stream of bytes, for files too large to hold.

        Args:
            name: As for `read`.
            limit_bytes: The stream fails where a zip file unpacks to more.

        Returns:
            A binary file object; the caller closes it.

        Raises:
            OSError: If the file cannot be opened.
        """
        place = self._files.get(name)
        if self._zip is not None:
            if not isinstance(place, zipfile.ZipInfo):
                raise OSError(errno.ENOENT, "the file is missing")
            return self._zip.open(place, limit_bytes=limit_bytes)
        assert not isinstance(place, zipfile.ZipInfo)
        try:
            return open_file(self._folder / (place or self._as_on_disk(name)))
        except FileNotFoundError as error:
            raise OSError(errno.ENOENT, "the file is missing") from error

    def _as_on_disk(self, name: str) -> str:
        """Where a file lies that was not listed, beside a csv file that was given as the source."""
        if os.path.lexists(self._folder / name):
            return name
        place = ""
        for part in name.split("/"):
            place = posixpath.join(place, self._spellings(place).get(part, part))
        return place

    def _spellings(self, folder: str) -> dict[str, str]:
        """Names in a folder as the disk has them, by their form NFC."""
        if folder not in self._spelt:
            try:
                names = os.listdir(self._folder / folder)
            except OSError:
                names = []
            self._spelt[folder] = {unicodedata.normalize("NFC", name): name for name in names}
        return self._spelt[folder]

    def close(self) -> None:
        """Closes the zip file, if it is one."""
        if self._zip is not None:
            self._zip.close()

    def __enter__(self) -> Self:
        """Gives the tree itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the tree."""
        self.close()


def _walked(folder: Path) -> Iterator[tuple[str, str]]:
    """Names of the files and folders (these with a slash at the end), and where they lie."""

    def unreadable(error: OSError) -> NoReturn:
        raise UserError(
            f"cannot list the source folder {printable(str(error.filename))}: {error.strerror}"
        )

    seen = {_identity(folder)}
    for parent, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        # A link to a folder above has no end; real folders before links to them.
        folders.sort(key=lambda name: (os.path.islink(os.path.join(parent, name)), name))
        kept = []
        for name in folders:
            try:
                identity = _identity(os.path.join(parent, name))
            except OSError as error:
                unreadable(error)
            if not name.startswith(".") and identity not in seen:
                seen.add(identity)
                kept.append(name)
        folders[:] = kept
        below = os.path.relpath(parent, folder)
        above = "" if below == os.curdir else f"{Path(below).as_posix()}/"
        for name in (*(f"{name}/" for name in folders), *files):
            yield _checked_unicode(above + name), above + name


def _identity(folder: str | os.PathLike[str]) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _checked_unicode(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"the name of the file {printable(name)} is not in UTF-8; rename it"
        ) from error
    return unicodedata.normalize("NFC", name)


def _parents(name: str) -> Iterable[str]:
    parts = name.split("/")[:-1]
    return ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))

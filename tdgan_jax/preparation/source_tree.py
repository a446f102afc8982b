"""Read access to what a dataset's owner hands out: a folder, or the zip it was downloaded as.

A `SourceTree` names its files by relative paths with forward slashes and reads them one at a time,
so that nothing is unpacked and no archive is loaded whole. The order of `names` does not depend on
the file system.
"""

import os
import re
import zipfile
from pathlib import Path
from typing import IO, Self

from tdgan_jax.errors import UserError

_CLUTTER = re.compile(r"(^|/)(__MACOSX/|\.|Thumbs\.db$|desktop\.ini$)")


class SourceTree:
    """The files below a folder or inside a zip file; close it, or use it in a `with` statement.

    Attributes:
        path: The folder, zip or csv file that was opened.
        names: Relative paths of all files in a fixed order; hidden files and the clutter that
            desktops leave behind are left out.
    """

    def __init__(self, path: str | os.PathLike[str]):
        """Opens a source and lists its files.

        Args:
            path: A folder, a zip file, or a single csv file.

        Raises:
            UserError: If the path does not exist, is none of these, or cannot be read.
        """
        self.path = Path(path).expanduser()
        self._zip: zipfile.ZipFile | None = None
        self._folder = self.path
        if self.path.is_dir():
            names = _names_in_folder(self.path)
        elif not self.path.exists():
            raise UserError(f"the source {self.path} does not exist")
        elif zipfile.is_zipfile(self.path):
            self._zip = zipfile.ZipFile(self.path)
            names = [entry.filename for entry in self._zip.infolist() if not entry.is_dir()]
        elif self.path.suffix.lower() == ".csv":
            self._folder = self.path.parent
            names = [self.path.name]
        else:
            raise UserError(
                f"the source {self.path} is neither a folder nor an intact zip file; "
                "unpack other archives and give the folder"
            )
        self.names = tuple(sorted(name for name in names if not _CLUTTER.search(name)))

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
                f"{self.path} holds the files more than once, in {roots[0] or './'} and in "
                f"{roots[1]}; give one of them as the source"
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
            name: One of `names`.

        Returns:
            The bytes of the file.

        Raises:
            OSError: If the file cannot be read, also when it is damaged inside the zip.
        """
        with self.open(name) as file:
            try:
                return file.read()
            except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
                raise OSError(f"damaged in the zip file ({error})") from error
            except Exception as error:
                # zlib.error and its relatives of the other compressions share no base class.
                if self._zip is None:
                    raise
                raise OSError(f"damaged in the zip file ({error})") from error

    def open(self, name: str) -> IO[bytes]:
        """Opens a file as a stream of bytes, for files too large to hold.

        Args:
            name: One of `names`.

        Returns:
            A binary file object; the caller closes it.

        Raises:
            OSError: If the file cannot be opened.
        """
        try:
            if self._zip is None:
                return (self._folder / name).open("rb")
            return self._zip.open(name)
        except (FileNotFoundError, KeyError) as error:
            raise OSError("the file is missing") from error
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise OSError(f"damaged in the zip file ({error})") from error

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


def _names_in_folder(folder: Path) -> list[str]:
    def unreadable(error: OSError) -> None:
        raise UserError(f"cannot list the source folder {error.filename}: {error.strerror}")

    return [
        (Path(parent) / file).relative_to(folder).as_posix()
        for parent, _, files in os.walk(folder, onerror=unreadable)
        for file in files
    ]

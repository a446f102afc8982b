"""Files that wait on disk between two looks at them."""

import os
import tempfile
from pathlib import Path
from typing import Self


class Spool:
    """Byte strings by number, kept in a file without a name; use it in a `with` statement.

    The file is gone when the process is, however that ends.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        """Opens an empty spool.

        Args:
            folder: Where there is room for its content.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)
        self._ends = [0]

    def append(self, data: bytes) -> None:
        """Adds a byte string; it gets the next number, from 0.

        Args:
            data: The byte string.
        """
        self._file.seek(self._ends[-1])
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))

    def size(self, number: int) -> int:
        """Length of a byte string."""
        return self._ends[number + 1] - self._ends[number]

    def read(self, number: int) -> bytes:
        """Gives a byte string back."""
        self._file.seek(self._ends[number])
        return self._file.read(self.size(number))

    def __enter__(self) -> Self:
        """Gives the spool itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Gives the room on disk back."""
        self._file.close()

"""A zip file that an owner hands out: its files are read one at a time, bounded in size.

Python's reader raises almost anything on damaged data; here that is an `OSError` that says so.
"""

import contextlib
import errno
import io
import os
import stat
import unicodedata
import zipfile
from typing import IO, Self

from tdgan_jax.files import check_size, open_file, reason

_UTF8_NAME = 0x800  # flag of an entry


class ZipSource:
    """An open zip file; the caller closes it.

    Attributes:
        entries: Its files and folders (these with a slash at the end): name and entry.
    """

    def __init__(self, file: IO[bytes]):
        """Reads the directory of a zip file, which then belongs to this object."""
        self._file = file
        self._archive = zipfile.ZipFile(file)
        self.entries = [(_name(entry), entry) for entry in self._archive.infolist()]

    @classmethod
    def opened(cls, path: str | os.PathLike[str]) -> Self | None:
        """Opens a zip file.

        Args:
            path: Any file.

        Returns:
            The zip file, or None if it is none.

        Raises:
            OSError: If it is no plain file, cannot be read, or is damaged.
        """
        file = open_file(path)
        try:
            if zipfile.is_zipfile(file):
                return cls(file)
        except Exception as error:
            file.close()
            raise OSError(errno.EIO, f"no intact zip file ({reason(error)})") from error
        file.close()
        return None

    def open(self, entry: zipfile.ZipInfo, *, limit_bytes: int) -> io.BufferedReader:
        """Opens a file inside the zip file.

        Args:
            entry: One of `entries`.
            limit_bytes: How large it may be.

        Returns:
            Its content, which fails where it gives more than was declared, too.

        Raises:
            OSError: If it is larger, damaged, encrypted, or a link.
        """
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise OSError(errno.EINVAL, "not a file")
        check_size(entry.file_size, limit_bytes)
        try:
            return io.BufferedReader(_Unpacked(self._archive.open(entry), limit_bytes))
        except Exception as error:
            raise _damaged(error) from error

    def close(self) -> None:
        """Closes it."""
        self._archive.close()
        self._file.close()


class _Unpacked(io.RawIOBase):
    """A file inside a zip file: what is wrong with it is an `OSError`, and so is too much of it."""

    def __init__(self, stream: IO[bytes], limit_bytes: int):
        self._stream = stream
        self._limit_bytes = limit_bytes
        self._num_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        try:
            data = self._stream.read(len(buffer))
        except Exception as error:
            # zlib.error and its relatives of the other compressions share no base class.
            raise _damaged(error) from error
        self._num_bytes += len(data)
        check_size(self._num_bytes, self._limit_bytes)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _damaged(error: Exception) -> OSError:
    return OSError(errno.EIO, f"damaged in the zip file ({reason(error)})")


def _name(entry: zipfile.ZipInfo) -> str:
    name = entry.filename.replace("\\", "/").lstrip("/")
    if not entry.flag_bits & _UTF8_NAME:
        # Many programs write UTF-8 without saying so; what is none stays as Python reads it.
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return unicodedata.normalize("NFC", name)

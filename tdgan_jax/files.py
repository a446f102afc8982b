"""Files: opened where they are plain ones, read up to a bound, replaced whole.

Whatever is read passes `open_file`: a pipe or a device would be waited for without end. Whatever is
held in memory passes `read_stream` or `read_file`: a file of a few megabytes can unpack to
gigabytes, and a file can grow while it is read. A reader of a file that is written here sees the
old or the new content, never a part.
"""

import codecs
import errno
import io
import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tdgan_jax.errors import UserError

MAX_SMALL_FILE_BYTES = 64 << 20
"""Of configurations, results, descriptions, lists: what is written as text and read whole."""

MAX_PICTURE_BYTES = 512 << 20
"""Of a file that holds one picture or a short video."""

_READ_AT_ONCE = 1 << 20
# Longest first: that of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def open_file(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Opens a plain file, or a link to one, for reading.

    Args:
        path: Where it is.

    Returns:
        A binary file object; the caller closes it.

    Raises:
        OSError: If it is missing, no plain file (a folder, pipe, device or socket), or cannot be
            opened. `reason` gives the message without the path.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        # Looked at before it is opened, for that alone can set a device going, and once more after.
        _check_plain(os.stat(path))
        descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except ValueError as error:  # a null character, or what no file system can spell
        raise OSError(errno.EINVAL, f"no path ({error})") from error
    try:
        _check_plain(os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_plain(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a file")


def check_file(path: str | os.PathLike[str], *, limit_bytes: int | None = None) -> None:
    """Makes sure that a library which opens files itself gets a plain one.

    Args:
        path: Where it is.
        limit_bytes: Its largest size.

    Raises:
        OSError: As `open_file`, or if it is larger.
    """
    with open_file(path) as file:
        check_size(os.fstat(file.fileno()).st_size, limit_bytes)


def read_file(path: str | os.PathLike[str], *, limit_bytes: int = MAX_SMALL_FILE_BYTES) -> bytes:
    """Reads a plain file whole.

    Args:
        path: Where it is.
        limit_bytes: Its largest size.

    Returns:
        Its content.

    Raises:
        OSError: As `open_file`, or if it is larger or cannot be read.
    """
    with open_file(path) as file:
        check_size(os.fstat(file.fileno()).st_size, limit_bytes)
        return read_stream(file, limit_bytes=limit_bytes)


def read_stream(stream: IO[bytes], *, limit_bytes: int) -> bytes:
    """Reads a stream to its end, if that comes early enough.

    Args:
        stream: A binary file object.
        limit_bytes: How much it may give.

    Returns:
        Its content.

    Raises:
        OSError: If it gives more, or cannot be read.
    """
    parts, size = [], 0
    while part := stream.read(min(_READ_AT_ONCE, limit_bytes + 1 - size)):
        parts.append(part)
        size += len(part)
        check_size(size, limit_bytes)
    return b"".join(parts)


def check_size(size: int, limit_bytes: int | None) -> None:
    """Refuses what is too large to be held.

    Args:
        size: Number of bytes.
        limit_bytes: Their largest number; any if None.

    Raises:
        OSError: If it is larger.
    """
    if limit_bytes is not None and size > limit_bytes:
        raise OSError(errno.EFBIG, f"larger than {limit_bytes >> 20:,} MB")


def reason(error: Exception) -> str:
    """What went wrong with a file, in one line and without its path."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


def encoding_of(head: bytes) -> str:
    """The encoding of a text, told by how it begins.

    Args:
        head: Its first bytes, some dozens where there are so many.

    Returns:
        `utf-8-sig`, `utf-16` or `utf-32`, all of which drop the byte order mark; `utf-8` where
        there is none.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        # Line ends and full stops have a zero byte in UTF-16; a name that is no text has none.
        if head.startswith(mark) and (len(mark) == 3 or len(head) == 2 or 0 in head[2:]):
            return encoding
    return "utf-8"


def decode_text(content: bytes) -> str:
    """A text file's content: UTF-8 with or without a byte order mark, or UTF-16 or UTF-32 with one.

    Raises:
        ValueError: If it is no text, or one in another encoding.
    """
    text = content.decode(encoding_of(content[:64]))
    if "\0" in text:
        raise ValueError("it holds null characters; save it as UTF-8")
    return text


def open_text(stream: io.BufferedReader) -> io.TextIOWrapper:
    """A binary stream as text, in the encodings of `decode_text`, its line ends as they are.

    Args:
        stream: At its beginning; it is closed with what is returned.
    """
    return io.TextIOWrapper(stream, encoding=encoding_of(stream.peek(64)[:64]), newline="")


def listed_paths(stream: IO[bytes]) -> Iterator[bytes]:
    """Reads a list of paths line by line, as they come.

    Args:
        stream: At its beginning, such as the standard input; in the encodings of `decode_text`.

    Yields:
        Each line without its end, in UTF-8; what is no text stays as it is.

    Raises:
        UserError: If a list in UTF-16 or UTF-32 is damaged.
    """
    reader = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)  # type: ignore[arg-type]
    encoding = encoding_of(reader.peek(64)[:64])
    if encoding in ("utf-8", "utf-8-sig"):
        for number, line in enumerate(reader):
            is_first = encoding == "utf-8-sig" and not number
            yield line.removeprefix(codecs.BOM_UTF8 if is_first else b"").rstrip(b"\r\n")
    else:
        text = io.TextIOWrapper(reader, encoding=encoding)
        try:
            for line in text:
                yield line.rstrip("\n").encode()
        except UnicodeError as error:
            raise UserError(f"the list of files is damaged: {reason(error)}") from error
        finally:
            text.detach()  # The stream stays its owner's.
    if reader is not stream:
        reader.detach()


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file as a whole; the old content stays in place when writing fails.

    Raises:
        UserError: The file cannot be written (no space, no permission).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # Gone after a successful replace; its folder may not exist either.
        if temporary.exists():
            temporary.unlink()


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON, atomically; numpy and jax numbers and arrays become plain ones.

    Raises:
        UserError: The file cannot be written.
        ValueError: A number is not finite.
    """
    text = json.dumps(value, indent=2, allow_nan=False, default=plain)
    write_atomically(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Reads a JSON file: numbers are finite, and no name stands twice in an object.

    Raises:
        UserError: The file is missing, unreadable or damaged.
    """
    try:
        return json.loads(
            decode_text(read_file(path)),
            object_pairs_hook=_object,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    except RecursionError as error:
        raise UserError(f"{path} is damaged: it is nested too deeply") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged, it is not JSON: {reason(error)}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is not finite")
    return number


def plain(value: Any) -> Any:
    """Numbers, arrays and paths of libraries as JSON's values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")

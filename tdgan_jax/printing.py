"""What is printed: no name steers a terminal, and no stream ends the program in a traceback."""

import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import TextIO

from tdgan_jax.errors import UserError

# Control characters, what is no text (bytes of a name that are not UTF-8), separators of lines.
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# They turn the direction in which the rest of a line is read.
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FIRST_BYTE = 0xDC00  # where Python puts the bytes of names that are no text

_closed: set[str] = set()


class NobodyReads(Exception):
    """Whoever read the standard output has had enough: no failure, but nothing more to do."""


def printable(text: object) -> str:
    r"""A name as it can be printed: on one line, and without a character that does something.

    Args:
        text: A file's name, the name of a class, a message.

    Returns:
        The text with control characters, marks of direction and bytes that are no text as
        `\x1b`, `\n`, `\u202e`, `\xff`.
    """
    written = str(text)
    if written.isprintable():
        return written
    return "".join(map(_escaped, written))


def printable_lines(text: object) -> str:
    """The same for a text of several lines, which stay lines."""
    return "\n".join(map(printable, str(text).split("\n")))


def print_text(text: object, *, aside: bool = False) -> None:
    """Prints lines, escaped.

    Args:
        text: The lines.
        aside: Whether they go to stderr; what cannot be written there is lost.

    Raises:
        UserError: If stdout cannot be written.
        NobodyReads: If its reader is gone.
    """
    lines = printable_lines(text)
    if aside:
        with contextlib.suppress(OSError, ValueError):
            print(lines, file=sys.stderr, flush=True)
        return
    with stdout_errors():
        print(lines)


@contextlib.contextmanager
def stdout_errors() -> Iterator[None]:
    """Says of what cannot be printed in the block that it is stdout which cannot be written.

    Raises:
        UserError: In the place of an `OSError`.
        NobodyReads: In the place of a `BrokenPipeError`.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise NobodyReads from error
    except OSError as error:
        raise UserError(f"cannot write the standard output: {error.strerror or error}") from error


def use_safe_streams() -> None:
    """Makes this process's streams such that printing and reading never end in a traceback.

    What an encoding does not know is escaped. A stream that was closed before the program began
    leads nowhere, so that no file that is opened takes its number; `is_closed` tells.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _closed.add(name)
            _fill(number)
            setattr(sys, name, open(os.devnull, "r+" if number else "r"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_closed(stream: TextIO) -> bool:
    """Whether a standard stream was closed before the program began, or has been since."""
    return stream.closed or any(getattr(sys, name) is stream for name in _closed)


def flush_stdout() -> None:
    """Writes what is left of stdout.

    Raises:
        UserError: If it cannot be written.
        NobodyReads: If its reader is gone.
    """
    with stdout_errors():
        try:
            sys.stdout.flush()
        except OSError:
            forget_stdout()
            raise


def forget_stdout() -> None:
    """Leads stdout nowhere: Python must not find it broken again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _fill(number: int) -> None:
    """Opens a file descriptor that is closed."""
    try:
        os.fstat(number)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != number:
            os.dup2(nowhere, number)
            os.close(nowhere)


def _escaped(character: str) -> str:
    is_special = character in _DIRECTIONS or unicodedata.category(character) in _ESCAPED_CATEGORIES
    if not is_special:
        return character
    if 0 <= (byte := ord(character) - _FIRST_BYTE) < 0x100:
        return f"\\x{byte:02x}"
    return character.encode("unicode_escape").decode()

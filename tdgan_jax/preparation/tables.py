"""Tables that come as text (csv), in the forms in which programs write them.

Columns are parted by commas, semicolons, tabs or bars: which, the first line tells. The text is
UTF-8 with or without a byte order mark, or UTF-16 with one. A value stands in one line: a quote
that is not closed there is a mistake, for which a reader must not take the following lines.
"""

import csv
import io
import itertools
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from tdgan_jax.errors import UserError
from tdgan_jax.files import open_text, reason
from tdgan_jax.printing import printable

SEPARATORS = (",", ";", "\t", "|")
MAX_LINE_LENGTH = 1 << 20

Open = Callable[[], io.BufferedReader]
Row = dict[str, str]


class Header(NamedTuple):
    """The first line of a table.

    Attributes:
        columns: Names of the columns; one that is wanted as it is spelt there, whatever its case.
        separator: What parts them.
    """

    columns: tuple[str, ...]
    separator: str


def read_header(opened: Open, name: str, wanted: Collection[str]) -> Header:
    """Reads the first line of a table.

    Args:
        opened: Opens the file.
        name: What to call it in messages.
        wanted: Columns that are looked for; they tell which separator is meant.

    Returns:
        The columns, of which none need be wanted; none at all of an empty file.

    Raises:
        UserError: If the file cannot be read, is no text, or has a column twice.
    """
    return next(_header_and_lines(opened, name, wanted))[0]


def read_rows(opened: Open, name: str, wanted: Collection[str]) -> Iterator[tuple[int, Row]]:
    """Reads a table line by line.

    Args:
        opened: Opens the file.
        name: What to call it in messages.
        wanted: As for `read_header`.

    Yields:
        Number of the line in the file, and the values by column, without white space around them;
        those that a line lacks at its end are empty. Empty lines are left out.

    Raises:
        UserError: As `read_header`; names the line if a quote is not closed there or it has more
            values than there are columns.
    """
    for header, number, line in _header_and_lines(opened, name, wanted):
        if number is None:
            continue
        fields = _fields(line, header.separator, name, number)
        if any(fields[len(header.columns) :]):
            raise UserError(
                f"{printable(name)} line {number} has {len(fields)} values for "
                f"{len(header.columns)} columns; values that hold {_shown(header.separator)} "
                "stand in quotes"
            )
        padded = itertools.chain(fields, itertools.repeat(""))
        yield number, dict(zip(header.columns, padded, strict=False))


def read_lines(opened: Open, name: str, separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Reads a table without names of columns.

    Args:
        opened: Opens the file.
        name: What to call it in messages.
        separator: What parts the values.

    Yields:
        Number of the line in the file, and its values; empty lines are left out.

    Raises:
        UserError: As `read_rows`.
    """
    for number, line in _lines(opened, name):
        yield number, _fields(line, separator, name, number)


def _header_and_lines(
    opened: Open, name: str, wanted: Collection[str]
) -> Iterator[tuple[Header, int | None, str]]:
    """The header alone at first, then with each line and its number."""
    lines = _lines(opened, name)
    number, first = next(lines, (1, ""))
    told = first.lower().removeprefix("sep=")  # as spreadsheets do
    if len(told) == 1 and told in SEPARATORS:
        number, first = next(lines, (number, ""))
        separators: tuple[str, ...] = (told,)
    else:
        separators = SEPARATORS
    header = _header(first, separators, name, number, wanted)
    yield header, None, ""
    for number, line in lines:
        yield header, number, line


def _header(
    line: str, separators: tuple[str, ...], name: str, number: int, wanted: Collection[str]
) -> Header:
    spelt = {column.casefold(): column for column in wanted}
    found, faults = [], []
    for separator in separators:
        try:
            fields = _fields(line, separator, name, number)
        except UserError as fault:  # as quotes look where another separator is meant
            faults.append(fault)
            continue
        columns = tuple(spelt.get(field.casefold(), field) for field in fields)
        found.append(Header(columns, separator))
    if not found:
        raise faults[0]
    best = max(
        found, key=lambda header: (len(set(header.columns) & set(wanted)), len(header.columns))
    )
    for column in best.columns:
        if column and best.columns.count(column) > 1:
            raise UserError(f"{printable(name)} has the column {printable(column)} twice")
    return best


def _fields(line: str, separator: str, name: str, number: int) -> list[str]:
    reader = csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True)
    try:
        return [field.strip() for field in next(reader, [])]
    except csv.Error as error:
        what = "a quote is not closed" if "end of data" in str(error) else reason(error)
        raise UserError(f"{printable(name)} line {number}: {what}") from error


def _lines(opened: Open, name: str) -> Iterator[tuple[int, str]]:
    """The lines that hold anything, with their numbers from 1."""
    try:
        with opened() as stream, open_text(stream) as text:
            for number in itertools.count(1):
                line = text.readline(MAX_LINE_LENGTH)
                if not line:
                    return
                if len(line) == MAX_LINE_LENGTH or "\0" in line:
                    what = "null characters" if "\0" in line else "more characters than any label"
                    raise UserError(f"{printable(name)} line {number} holds {what}; it is no table")
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except UnicodeError as error:
        raise UserError(
            f"{printable(name)} is not a csv file in UTF-8 ({reason(error)}); save it as such"
        ) from error
    except OSError as error:
        raise UserError(f"{printable(name)} cannot be read to its end ({reason(error)})") from error


def _shown(separator: str) -> str:
    return "a tab" if separator == "\t" else f"'{separator}'"

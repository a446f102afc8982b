"""The csv in which a user may say what the images of a dataset are.

One line an image, with the columns `image` (path from the folder of the csv), `expression`,
`identity` and `subject`. Only `image` must be there, and whatever the dataset cannot do without.
"""

import csv
import io
from collections.abc import Callable, Collection, Iterator

from tdgan_jax.errors import UserError
from tdgan_jax.preparation.listing import ListedImage
from tdgan_jax.preparation.source_tree import SourceTree

COLUMNS = ("image", "expression", "identity", "subject")


def find_label_table(tree: SourceTree) -> str | None:
    """Finds the table of a source.

    Args:
        tree: The source: a csv file, or a folder or zip file that may hold one at its top.

    Returns:
        Name of the only csv file at the top that has a column `image`; None if there is none.

    Raises:
        UserError: If there are two, or a csv file given as the source has no such column.
    """
    top = min((name.count("/") for name in tree.names), default=0)
    tables = [n for n in tree.names if n.count("/") == top and n.lower().endswith(".csv")]
    usable = [name for name in tables if _is_label_table(tree, name)]
    if len(usable) > 1:
        raise UserError(
            f"{tree.path} holds two tables, {usable[0]} and {usable[1]}; give one of the csv files "
            "as the source"
        )
    if not usable and len(tables) == len(tree.names) == 1:
        raise UserError(
            f"{tree.path} has no column image in its first line; the columns are "
            + ", ".join(COLUMNS)
        )
    return usable[0] if usable else None


def read_label_table(
    tree: SourceTree,
    table: str,
    class_of: Callable[[str], str | None],
    *,
    required: Collection[str] = (),
) -> list[ListedImage]:
    """Reads the table.

    Args:
        tree: The source.
        table: What `find_label_table` gave.
        class_of: Gives the name of a class as the user spells it; None where it is no class of
            the dataset, so that the image is left out.
        required: Columns besides `image` that must be there and be filled in every line.

    Returns:
        The images, in the order of the table.

    Raises:
        UserError: If a required value or column is missing, a path occurs twice, an expression is
            unknown, or the file is not a csv file in UTF-8.
    """
    absent = [column for column in required if column not in _header(tree, table)]
    if absent:
        raise UserError(f"{table} lacks the column {absent[0]} in its first line")
    folder = table.rpartition("/")[0]
    line_of: dict[str, int] = {}
    listed = []
    for line, row in _rows(tree, table):
        values = {column: (row.get(column) or "").strip() for column in COLUMNS}
        file = values["image"].replace("\\", "/").removeprefix("./")
        for column in ("image", *required):
            if not values[column]:
                raise UserError(f"{table} line {line}: the column {column} is empty")
        if line_of.setdefault(file, line) != line:
            raise UserError(f"{table} line {line}: {file} stands in line {line_of[file]} already")
        try:
            expression = class_of(values["expression"]) if values["expression"] else None
        except UserError as error:
            raise UserError(f"{table} line {line}: {error}") from error
        if values["expression"] and expression is None:
            continue
        listed.append(
            ListedImage(
                file=file,
                name=f"{folder}/{file}" if folder else file,
                expression=expression,
                identity=values["identity"] or values["subject"] or None,
                subject=values["subject"],
            )
        )
    return listed


def _is_label_table(tree: SourceTree, name: str) -> bool:
    try:
        return "image" in _header(tree, name)
    except UserError:
        if len(tree.names) == 1:
            raise
        return False  # Some other table of the owner's.


def _header(tree: SourceTree, table: str) -> list[str]:
    with _opened(tree, table) as text:
        try:
            return [column.strip() for column in next(csv.reader(text), [])]
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{table} is not a csv file in UTF-8 ({error})") from error


def _rows(tree: SourceTree, table: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    with _opened(tree, table) as text:
        reader = csv.DictReader(text, skipinitialspace=True)
        try:
            reader.fieldnames = [column.strip() for column in reader.fieldnames or ()]
            for row in reader:
                yield reader.line_num, row
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{table} is not a csv file in UTF-8 ({error})") from error


def _opened(tree: SourceTree, table: str) -> io.TextIOWrapper:
    # Spreadsheets put a byte order mark in front.
    return io.TextIOWrapper(tree.open(table), encoding="utf-8-sig", newline="")

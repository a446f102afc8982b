"""The csv in which a user may say what the images of a dataset are.

One line an image, with the columns `image` (path from the folder of the csv), `expression`,
`identity` and `subject`. Only `image` must be there, and whatever the dataset cannot do without.
"""

import functools
import posixpath
from collections.abc import Callable, Collection, Sequence

from tdgan_jax.errors import UserError
from tdgan_jax.expressions import checked_name, checked_path, names_an_expression
from tdgan_jax.preparation.listing import ListedImage
from tdgan_jax.preparation.source_tree import TABLE_SUFFIXES, SourceTree
from tdgan_jax.preparation.tables import Row, read_header, read_rows
from tdgan_jax.printing import printable

COLUMNS = ("image", "expression", "identity", "subject")


def find_label_table(tree: SourceTree) -> str | None:
    """Finds the table of a source.

    Args:
        tree: The source: a csv file, or a folder or zip file that may hold one.

    Returns:
        Name of the only csv file with a column `image` among those that lie nearest to the top;
        None if the source holds no csv file.

    Raises:
        UserError: If there are two, or none can be used: labels that lie beside the images are
            never left aside.
    """
    tables = [name for name in tree.names if name.lower().endswith(TABLE_SUFFIXES)]
    usable, faults = [], []
    for name in _nearest(tables) + _nearest([n for n in tree.names if _is_text(n)]):
        try:
            _check_is_label_table(tree, name)
            usable.append(name)
        except UserError as fault:
            if not _is_text(name):  # most texts are none that were meant as tables
                faults.append(fault)
    if len(usable) > 1:
        raise UserError(
            f"{tree.path} holds two tables, {printable(usable[0])} and {printable(usable[1])}; "
            "give one of the csv files as the source"
        )
    if not usable and faults:
        raise UserError(
            f"{faults[0]}"
            + ("; or move the file out of the source" if len(tree.names) > len(tables) else "")
        )
    return usable[0] if usable else None


def _nearest(names: Sequence[str]) -> list[str]:
    """Those that lie nearest to the top."""
    top = min((name.count("/") for name in names), default=0)
    return [name for name in names if name.count("/") == top]


def _is_text(name: str) -> bool:
    return name.lower().endswith(".txt")


def _check_is_label_table(tree: SourceTree, name: str) -> None:
    columns = _columns(tree, name)
    if "image" not in columns:
        there = printable(", ".join(columns)[:80]) or "nothing"
        raise UserError(
            f"{printable(name)} has no column image in its first line; the columns are "
            f"{', '.join(COLUMNS)}, there is {there}"
        )


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
        The images, in the order of the table. Where the expression is not required, an image
        whose label names none (see `names_an_expression`) has none.

    Raises:
        UserError: If a required value or column is missing, columns of other names stand there in
            place of the expression, a path occurs twice, an expression is unknown, a name is none,
            or the file is no table.
    """
    there = _columns(tree, table)
    if absent := [column for column in required if column not in there]:
        raise UserError(f"{printable(table)} lacks the column {absent[0]} in its first line")
    unread = [column for column in there if column and column not in COLUMNS]
    if unread and "expression" not in there:
        raise UserError(
            f"{printable(table)} has no column expression, and its column "
            f"{printable(unread[0][:40])} is not read; rename it to expression, or remove it"
        )
    line_of: dict[str, int] = {}
    listed = []
    for line, row in read_rows(functools.partial(tree.open, table), table, COLUMNS):
        try:
            image = _listed(table, row, class_of, required)
        except UserError as error:
            raise UserError(f"{printable(table)} line {line}: {error}") from error
        if image is None:
            continue
        if line_of.setdefault(image.name, line) != line:
            raise UserError(
                f"{printable(table)} line {line}: {printable(image.file)} stands in line "
                f"{line_of[image.name]} already"
            )
        listed.append(image)
    return listed


def _listed(
    table: str, row: Row, class_of: Callable[[str], str | None], required: Collection[str]
) -> ListedImage | None:
    """What a line says; None if its expression is no class of the dataset."""
    values = {column: row.get(column, "") for column in COLUMNS}
    for column in ("image", *required):
        if not values[column]:
            raise UserError(f"the column {column} is empty")
    spelling = values["expression"]
    is_labelled = bool(spelling) if "expression" in required else names_an_expression(spelling)
    expression = class_of(spelling) if is_labelled else None
    if is_labelled and expression is None:
        return None
    # One file has one name: `p//0.png` and `p/0.png` are the same image.
    file = posixpath.normpath(checked_path(values["image"], "the image").replace("\\", "/"))
    identity, subject = (
        checked_name(values[column], f"the {column}") if values[column] else ""
        for column in ("identity", "subject")
    )
    return ListedImage(
        file=file,
        name=posixpath.normpath(posixpath.join(posixpath.dirname(table), file)),
        expression=expression,
        identity=identity or subject or None,
        subject=subject,
    )


def _columns(tree: SourceTree, table: str) -> tuple[str, ...]:
    return read_header(functools.partial(tree.open, table), table, COLUMNS).columns

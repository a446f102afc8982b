"""Where `predict` writes its rows: csv or JSON lines, the columns are those of `records`.

What does not apply is empty in csv and null in JSON.
"""

import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from tdgan_jax.errors import UserError
from tdgan_jax.inference.outputs import staged_file, write_errors_of
from tdgan_jax.inference.records import Row, columns
from tdgan_jax.inference.unfinished import UnfinishedRows
from tdgan_jax.printing import is_closed, stdout_errors

SUFFIXES = (".csv", ".jsonl")


@contextlib.contextmanager
def row_writer(
    out: Path | None, expression_names: Sequence[str], unfinished: UnfinishedRows | None = None
) -> Iterator[Callable[[Sequence[Row]], None]]:
    """Opens the place where rows go.

    Args:
        out: A file that ends in one of `SUFFIXES`, complete when the block has ended well and
            absent otherwise; None for csv on stdout, row by row.
        expression_names: Names of the expressions.
        unfinished: The rows of `out`, where they may be resumed; its owner completes them.

    Yields:
        A function that writes rows.

    Raises:
        UserError: If the file cannot be written.
        NobodyReads: If the reader of stdout is gone.
    """
    if out is None and is_closed(sys.stdout):
        raise UserError("the standard output is closed; name a file with --out")
    errors = stdout_errors if out is None else lambda: write_errors_of(out)
    with contextlib.ExitStack() as stack:
        if unfinished is not None:
            stream = unfinished.stream
        else:
            stream = sys.stdout if out is None else stack.enter_context(staged_file(out))
        with errors():
            if out is not None and out.suffix.lower() == ".jsonl":
                write = _json_writer(stream)
            else:
                has_header = unfinished is not None and unfinished.begun.num_bytes > 0
                write = _csv_writer(stream, expression_names, has_header)

        def write_or_say_where(rows: Sequence[Row]) -> None:
            with errors():
                write(rows)

        yield write_or_say_where
        with errors():
            stream.flush()


def _csv_writer(
    stream: TextIO, expression_names: Sequence[str], has_header: bool
) -> Callable[[Sequence[Row]], None]:
    writer = csv.DictWriter(stream, columns(expression_names), lineterminator="\n")
    if not has_header:
        writer.writeheader()
    return writer.writerows


def _json_writer(stream: TextIO) -> Callable[[Sequence[Row]], None]:
    return lambda rows: stream.writelines(json.dumps(row) + "\n" for row in rows)

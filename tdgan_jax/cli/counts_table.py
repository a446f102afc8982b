"""The table of images per class and split that `prepare` and `doctor` print."""

from collections.abc import Mapping, Sequence
from typing import Any


def counts_table(
    *,
    images: Mapping[str, int],
    expressions: Mapping[str, Mapping[str, int]] | None,
    expression_names: Sequence[str],
    people: Mapping[str, int] | None,
    notes: Mapping[str, Any],
) -> list[str]:
    """Lays out what a dataset or its source holds.

    Args:
        images: Number of images by split.
        expressions: By split, the number of images of every expression, `-1` the unlabelled ones;
            None where there are no expressions.
        expression_names: The classes in order.
        people: Number of people by split; None where they are unknown.
        notes: Further facts, by name; those that are neither zero nor false get a line.

    Returns:
        The lines.
    """
    lines = [_row("", images)]
    if expressions is not None:
        for name in (*expression_names, "-1"):
            row = {split: counts.get(name, 0) for split, counts in expressions.items()}
            if name != "-1" or any(row.values()):
                lines.append(_row(name, row))
    lines.append(_row("images", images))
    if people is not None:
        lines.append(_row("identities", people))
    for name, value in notes.items():
        if isinstance(value, bool | int | str) and value:
            lines.append(f"{name.replace('_', ' ')}: {'yes' if value is True else value}")
    return lines


def _row(title: str, cells: Mapping[str, int]) -> str:
    widths = {split: max(len(split), 7) for split in cells}
    shown = (f"{split if title == '' else cells[split]:>{widths[split]}}" for split in cells)
    return f"{title:<12}" + "  ".join(shown)

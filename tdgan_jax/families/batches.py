"""Batches of a few fixed sizes, so that a compiled function serves any number of images."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

# One picture at once; what a folder fills; and something between for the rest.
BATCH_SIZES = (1, 8, 32)


class Slice(NamedTuple):
    """A part of a sequence and the size of the batch that it is padded to."""

    start: int
    stop: int
    batch_size: int


def slices(count: int) -> Iterator[Slice]:
    """Divides a sequence into batches of which at most half is padding.

    Args:
        count: Length of the sequence.

    Yields:
        Parts that cover it in its order.
    """
    start = 0
    while start < count:
        left = count - start
        padded = [size for size in BATCH_SIZES if left <= size <= 2 * left]
        size = padded[0] if padded else max(s for s in BATCH_SIZES if s <= left)
        yield Slice(start, min(start + size, count), size)
        start += size


def map_batches(function: Callable[..., Any], *arrays: np.ndarray | None) -> Any:
    """Applies a compiled function to arrays of any length.

    Args:
        function: Maps batches to a batch, or to a tree of them; row i of the result depends on row
            i of each alone.
        *arrays: At least one array, all with N rows; None is passed on.

    Returns:
        Arrays with N rows; without rows the shape is that of one batch's result.
    """
    count = next(len(array) for array in arrays if array is not None)
    parts = []
    for start, stop, batch_size in slices(count):
        batches = (
            None if array is None else _padded(array[start:stop], batch_size) for array in arrays
        )
        parts.append(_rows(function(*batches), stop - start))
    if parts:
        return jax.tree.map(lambda *columns: np.concatenate(columns), *parts)
    empty: list[Any] = [
        None if array is None else np.zeros((BATCH_SIZES[0], *array.shape[1:]), array.dtype)
        for array in arrays
    ]
    return _rows(function(*empty), 0)


def _rows(tree: Any, count: int) -> Any:
    return jax.tree.map(lambda column: np.asarray(column)[:count], tree)


def _padded(rows: np.ndarray, batch_size: int) -> np.ndarray:
    return np.concatenate([rows, np.repeat(rows[:1], batch_size - len(rows), axis=0)])

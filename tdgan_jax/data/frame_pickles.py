"""Tables of numbers that pandas pickled, read without pandas and without running anything."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tdgan_jax.data.safe_pickles import Pickled, is_array, read_pickle, to_array
from tdgan_jax.errors import UserError

# As pandas 1.0 to 3 write a table with texts as names of its rows and columns.
FRAMES = ("pandas.core.frame.DataFrame", "pandas.DataFrame")
_MANAGER = "pandas.core.internals.managers.BlockManager"
_BLOCK = "pandas._libs.internals._unpickle_block"
_NEW_INDEX = "pandas.core.indexes.base._new_Index"
_SLICES = ("builtins.slice", "__builtin__.slice")
_ALLOWED = (
    *FRAMES,
    *_SLICES,
    _MANAGER,
    _BLOCK,
    _NEW_INDEX,
    "pandas.core.indexes.base.Index",
    "pandas.Index",
    # Names of rows and columns since pandas 3.
    "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked",
    "pandas.arrays.StringArray",
    "pandas.StringDtype",
)


class Frame(NamedTuple):
    """A table of numbers.

    Attributes:
        rows: Names of the rows.
        columns: Names of the columns.
        values: float64 `[rows, columns]`.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: np.ndarray


def read_frame(path: Path) -> Frame:
    """Reads a pickled `pandas.DataFrame` of numbers.

    Raises:
        UserError: If the file cannot be read, is damaged, names foreign classes, or holds no table
            of numbers with texts as names.
    """
    content = read_pickle(path, allowed=_ALLOWED)
    try:
        return _frame(content)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise UserError(
            f"{path} holds no table of numbers with named rows and columns, as pandas 1.0 or "
            "newer pickles it"
        ) from error


def _frame(content: Any) -> Frame:
    if content.name not in FRAMES:
        raise ValueError(content.name)
    axes, blocks = _axes_and_blocks(content.state)
    columns, rows = map(_names, axes)
    values = np.full((len(columns), len(rows)), np.nan)
    for numbers, places in blocks:
        numbers = to_array(numbers)
        if numbers.dtype.kind not in "iuf":
            raise ValueError(f"a column of the type {numbers.dtype}")
        values[_places(places)] = numbers
    return Frame(rows, columns, values.T)


def _axes_and_blocks(state: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """The two indexes, and the columns of equal type with the places where they belong."""
    # pandas 1.0 has another name.
    manager = _of(state["_mgr"] if "_mgr" in state else state["_data"], _MANAGER)
    if manager.args:
        blocks, axes = manager.args
        return axes, [_of(block, _BLOCK).args[:2] for block in blocks]
    stored = manager.state[3]["0.14.1"]  # until pandas 1.2
    return stored["axes"], [(block["values"], block["mgr_locs"]) for block in stored["blocks"]]


def _of(value: Any, name: str) -> Pickled:
    if value.name != name:
        raise ValueError(f"{value.name} instead of {name}")
    return value


def _names(index: Any) -> tuple[str, ...]:
    data = _of(index, _NEW_INDEX).args[1]["data"]
    if not is_array(data):  # an array of texts of its own kind
        data = next(part for part in data.state if is_array(part))
    names = tuple(to_array(data).tolist())
    if not all(isinstance(name, str) for name in names):
        raise ValueError("names that are no texts")
    return names


def _places(places: Any) -> Any:
    if is_array(places):
        return to_array(places)
    are_numbers = all(part is None or type(part) is int for part in places.args)
    if places.name not in _SLICES or not are_numbers:
        raise ValueError(places.name)
    return slice(*places.args)

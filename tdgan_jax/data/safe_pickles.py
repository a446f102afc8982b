"""Pickles of data that others made, read without running anything in them.

A pickle names functions and classes to be called with what it holds. Here none is: every name must
be on a list, and in its place stands a record of the call, `Pickled`. What it means is for the
caller to say; of NumPy's arrays and numbers, `to_array` and `to_number` do.
"""

import pickle
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from tdgan_jax.errors import UserError
from tdgan_jax.files import check_file, open_file, reason

# As older and newer versions of NumPy write arrays and numbers. Old protocols have no bytes, but
# texts to encode, and nothing for none at all.
NUMPY_NAMES = frozenset(
    {
        "numpy.ndarray",
        "numpy.dtype",
        "_codecs.encode",
        "__builtin__.bytes",
        *(
            f"numpy.{core}.{name}"
            for core in ("core", "_core")
            for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")
        ),
    }
)
MAX_PICKLE_BYTES = 4 << 30

_RECONSTRUCT, _SCALAR, _FROM_BUFFER = "_reconstruct", "scalar", "_frombuffer"
_OBJECTS = re.compile(r"O\d?")
_NUMBERS = re.compile(r"[biufSU]\d{1,4}")


class Pickled:
    """A call that a pickle asks for: never made.

    Attributes:
        name: What should be called, with its module.
        args: With which arguments.
        state: What the result should be given afterwards; None if nothing.
    """

    __slots__ = ("args", "state")
    name: ClassVar[str] = ""

    def __new__(cls, *args: Any) -> "Pickled":
        """Records the call."""
        made = object.__new__(cls)
        made.args, made.state = args, None
        return made

    def __init__(self, *args: Any):
        """Does nothing; `__new__` has recorded the arguments."""

    def __setstate__(self, state: Any) -> None:
        """Records what the result should be given."""
        self.state = state


class _Foreign(Exception):
    """A name that is not on the list."""


class _Reader(pickle.Unpickler):
    def __init__(self, file: Any, allowed: Collection[str]):
        super().__init__(file)
        self._records = {
            name: type("Pickled", (Pickled,), {"__slots__": (), "name": name})
            for name in (*NUMPY_NAMES, *allowed)
        }

    def find_class(self, module: str, name: str) -> Any:
        record = self._records.get(f"{module}.{name}")
        if record is None:
            raise _Foreign(f"{module}.{name}")
        return record

    def persistent_load(self, pid: Any) -> Any:
        raise _Foreign("another file")


def read_pickle(path: Path, *, allowed: Collection[str]) -> Any:
    """Reads a pickle of plain values, NumPy's arrays and the given classes.

    Args:
        path: The file.
        allowed: Names of classes and functions with their modules, e.g. `"pandas.DataFrame"`.

    Returns:
        Plain values with `Pickled` where a call stands in the file.

    Raises:
        UserError: If the file cannot be read, is damaged, or names anything else, which is named.
    """
    try:
        check_file(path, limit_bytes=MAX_PICKLE_BYTES)
        with open_file(path) as file:
            return load_pickle(file, allowed=allowed, source=str(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error


def load_pickle(file: IO[bytes], *, allowed: Collection[str], source: str) -> Any:
    """As `read_pickle`, from an open file: the pickle that begins where it stands.

    Args:
        file: Stands behind the pickle afterwards.
        allowed: As of `read_pickle`.
        source: What to call the file in messages.
    """
    try:
        return _Reader(file, allowed).load()
    except _Foreign as error:
        raise UserError(
            f"{source} is not read: it refers to {error}, which does not belong into such a file; "
            "other pickles than those of known classes can run programs"
        ) from error
    except OSError:
        raise
    except Exception as error:  # Damaged pickles raise almost anything.
        raise UserError(f"{source} is damaged or no pickle") from error


def is_array(value: Any) -> bool:
    """Whether `to_array` can be asked for it."""
    return isinstance(value, Pickled) and _short_name(value) in (_RECONSTRUCT, _FROM_BUFFER)


def to_array(value: Any) -> np.ndarray:
    """The array that a pickle describes: of numbers, texts or plain objects.

    Raises:
        ValueError: If the description contradicts itself or is of another kind.
    """
    if not isinstance(value, Pickled):
        raise ValueError("no array")
    if _short_name(value) == _FROM_BUFFER:
        data, dtype, shape, order = value.args
    elif _short_name(value) == _RECONSTRUCT and isinstance(value.state, tuple):
        _, shape, dtype, is_fortran, data = value.state
        order = "F" if is_fortran else "C"
    else:
        raise ValueError(f"no array but {value.name}")
    return _made_array(data, _dtype(dtype), tuple(shape), order)


def to_number(value: Any) -> Any:
    """A number that stands in a pickle, plain or as one of NumPy's.

    Raises:
        ValueError: If it is no number.
    """
    if isinstance(value, Pickled) and _short_name(value) == _SCALAR and len(value.args) == 2:
        value = _made_array(value.args[1], _dtype(value.args[0]), (), "C")[()].item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"no number but {type(value).__name__}")
    return value


def _made_array(data: Any, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    if dtype.hasobject:
        if not isinstance(data, list):
            raise ValueError("an array of objects without a list of them")
        array = np.empty(len(data), object)
        array[:] = data
    else:
        array = np.frombuffer(_bytes(data), dtype)
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"no shape of an array: {shape}")
    if order not in ("C", "F"):
        raise ValueError(f"no order of an array: {order!r}")
    return array.reshape(shape, order=order)


def _bytes(data: Any) -> bytes | bytearray:
    if isinstance(data, Pickled) and data.name == "_codecs.encode":
        text, encoding = data.args
        if isinstance(text, str) and encoding in ("latin1", "latin-1"):
            return text.encode("latin-1")
    if isinstance(data, Pickled) and data.name == "__builtin__.bytes" and not data.args:
        return b""
    if not isinstance(data, bytes | bytearray):
        raise ValueError(f"no bytes but {type(data).__name__}")
    return data


def _dtype(value: Any) -> np.dtype:
    if not isinstance(value, Pickled) or value.name != "numpy.dtype" or not value.args:
        raise ValueError("no type of an array")
    byte_order = value.state[1] if isinstance(value.state, tuple) else "|"
    code = value.args[0]
    if not isinstance(code, str) or not isinstance(byte_order, str):
        raise ValueError("no type of an array")
    return _known_dtype(code, byte_order)


@cache  # of a file with a million numbers
def _known_dtype(code: str, byte_order: str) -> np.dtype:
    if not (_OBJECTS.fullmatch(code) or _NUMBERS.fullmatch(code)):
        raise ValueError(f"no type of numbers or texts: {code!r}")
    if byte_order not in ("<", ">", "|", "="):
        raise ValueError(f"no order of bytes: {byte_order!r}")
    return np.dtype(code).newbyteorder(byte_order)


def _short_name(value: Pickled) -> str:
    return value.name.rpartition(".")[2]

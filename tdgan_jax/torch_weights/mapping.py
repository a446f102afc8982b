"""Moves weights between PyTorch state dicts and parameter trees, driven by tables.

A table is a sequence of `Entry`: key of the state dict, path in the parameter tree, layout rule.
Both directions use the same table and fail when anything is left over on either side.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from tdgan_jax.errors import UserError

Path = tuple[str | int, ...]
Parameters = dict[Any, Any]
StateDict = Mapping[str, np.ndarray]

NAMED_KEYS = 5  # as many keys a message names; the rest is counted


class Layout(NamedTuple):
    """How one tensor is laid out on both sides.

    Attributes:
        from_torch: Maps the PyTorch tensor to ours.
        to_torch: The inverse.
    """

    from_torch: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


class Entry(NamedTuple):
    """One tensor of a network.

    Attributes:
        key: Key of the PyTorch state dict.
        path: Path in the parameter tree.
        layout: Layout rule.
    """

    key: str
    path: Path
    layout: Layout


SAME = Layout(lambda x: x, lambda x: x)
# [out, in, height, width] <-> [height, width, in, out]
CONVOLUTION = Layout(lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1))
# [in, out, height, width] <-> [height, width, in, out]
TRANSPOSED_CONVOLUTION = Layout(
    lambda x: x.transpose(2, 3, 0, 1), lambda x: x.transpose(2, 3, 0, 1)
)
# A stride-1 transposed convolution stored as the convolution that it is: the kernel is turned.
TURNED_CONVOLUTION = Layout(
    lambda x: x[:, :, ::-1, ::-1].transpose(2, 3, 0, 1),
    lambda x: x.transpose(2, 3, 0, 1)[:, :, ::-1, ::-1],
)
# [out, in] <-> [in, out]
LINEAR = Layout(np.transpose, np.transpose)


def with_prefix(table: Sequence[Entry], *, key: str, path: Path) -> list[Entry]:
    """A table of a submodule as part of its owner's table."""
    return [Entry(key + e.key, (*path, *e.path), e.layout) for e in table]


def parameters_from_torch(
    table: Sequence[Entry],
    state_dict: StateDict,
    template: Parameters,
    *,
    source: str = "the weights",
) -> Parameters:
    """Fills a parameter tree from a state dict.

    Keys that end in `running_mean`, `running_var` or `num_batches_tracked` and stand in no table
    are ignored: files of old PyTorch versions hold them for instance norms that never used them.

    Args:
        table: One entry per parameter.
        state_dict: Key to array.
        template: Parameter tree (arrays or shape structs) with the wanted paths and shapes.
        source: What to call the state dict in messages.

    Returns:
        A new tree of float32 numpy arrays.

    Raises:
        UserError: If a key is unknown, a parameter stays unfilled, a shape differs, or values are
            not finite or of a type that no weights have.
    """
    ignored = ("running_mean", "running_var", "num_batches_tracked")
    wanted = _leaves(template)
    keys, paths = {e.key for e in table}, {e.path for e in table}
    unknown = [k for k in state_dict if k not in keys and not k.endswith(ignored)]
    unfilled = [e.key for e in table if e.key not in state_dict]
    unfilled += [str(path) for path in wanted if path not in paths]
    if unknown or unfilled:
        raise UserError(
            f"{source} does not fit: unknown keys {_listed(unknown)}; "
            f"parameters without a value {_listed(unfilled)}"
        )
    filled: Parameters = {}
    for entry in table:
        tensor = np.asarray(state_dict[entry.key])
        # Compared before anything is copied: a file may hold any shape.
        shape = tuple(wanted[entry.path].shape)
        torch_shape = entry.layout.to_torch(np.broadcast_to(np.float32(0), shape)).shape
        if tensor.shape != torch_shape:
            raise UserError(
                f"{source} does not fit: {entry.key} has the shape {tensor.shape}, not "
                f"{torch_shape}"
            )
        if not _is_floating(tensor.dtype):
            raise UserError(
                f"{source} does not fit: {entry.key} holds numbers of the type {tensor.dtype}, "
                "weights are floating-point numbers"
            )
        with np.errstate(over="ignore"):  # too large for float32: found to be infinite below
            # A copy: the result must not be a view of the caller's tensor.
            value = np.array(entry.layout.from_torch(tensor), np.float32)
        if not np.isfinite(value).all():
            raise UserError(f"{source} is damaged: {entry.key} holds values that are not finite")
        _set(filled, entry.path, value)
    return filled


def torch_from_parameters(table: Sequence[Entry], parameters: Parameters) -> dict[str, np.ndarray]:
    """Writes a parameter tree as a state dict, the inverse of `parameters_from_torch`.

    Args:
        table: One entry per parameter.
        parameters: Parameter tree of arrays.

    Returns:
        Key to contiguous float32 array, in the table's order.

    Raises:
        UserError: If the table and the tree do not name the same parameters.
    """
    leaves = _leaves(parameters)
    paths = {entry.path for entry in table}
    unmatched = [path for path in leaves if path not in paths]
    missing = [path for path in paths if path not in leaves]
    if unmatched or missing:
        raise UserError(f"parameters outside the table: {unmatched}; missing: {missing}")
    return {
        entry.key: np.ascontiguousarray(
            entry.layout.to_torch(np.asarray(leaves[entry.path], np.float32))
        )
        for entry in table
    }


def _is_floating(dtype: np.dtype[Any]) -> bool:
    try:
        ml_dtypes.finfo(dtype)  # of numpy's types and of bfloat16, which numpy takes for none
    except ValueError:
        return False
    return dtype.kind != "c"


def _listed(keys: Sequence[str]) -> str:
    named = ", ".join(keys[:NAMED_KEYS])
    rest = len(keys) - NAMED_KEYS
    return (f"{named} and {rest} more" if rest > 0 else named) or "none"


def _leaves(tree: Parameters, path: Path = ()) -> dict[Path, Any]:
    leaves = {}
    for name, child in tree.items():
        if isinstance(child, dict):
            leaves |= _leaves(child, (*path, name))
        else:
            leaves[(*path, name)] = child
    return leaves


def _set(tree: Parameters, path: Path, value: np.ndarray) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value

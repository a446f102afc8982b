"""Which examples a probe learns from and which ones it is asked about.

Groups, `[N]`, are what is never on both sides: a person, the frames of a sequence, the copies of a
picture. Units, `[N]`, are what the parts are cut along: subjects for probes of what a face shows,
expressions for probes of whose face it is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold

from tdgan_jax.errors import UserError

NUM_PARTS = 4  # of a cross-validation, and of the fit part to choose a probe's regularisation


class Division(NamedTuple):
    """Positions of examples: what a probe learns from and what it is asked about.

    Attributes:
        fit: int `[F]`.
        validation: int `[V]`, a part of `fit` that chooses the regularisation; may be empty.
        test: int `[T]`.
    """

    fit: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def independent_groups(*labels: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Joins examples that share any label: copies of a picture, frames of a sequence, ...

    Args:
        *labels: `[N]` each; equal values belong together.

    Returns:
        int `[N]`; examples of different groups share no label, directly or through others.
    """
    count = len(labels[0])
    rows, columns, offset = [], [], count
    for values in labels:
        _, index = np.unique(np.asarray(values), return_inverse=True)
        rows.append(np.arange(count))
        columns.append(index + offset)
        offset += int(index.max(initial=-1)) + 1
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(row)), (row, column)), shape=(offset, offset))
    return connected_components(graph, directed=False)[1][:count]


def divide_by(
    units: np.ndarray, groups: np.ndarray, *, num_parts: int = NUM_PARTS
) -> list[Division]:
    """Cuts examples into parts along units, each part tested in turn by a probe of the others.

    Where a group reaches into several parts, its examples are left out of the fit.

    Args:
        units: `[N]`; examples of one unit stand in the same part: subjects for probes of what a
            face shows, expressions for probes of whose face it is.
        groups: `[N]`.
        num_parts: At most so many parts, at least 2.

    Returns:
        Divisions whose test parts cover all examples.

    Raises:
        UserError: If there are fewer than two units.
    """
    count = len(np.unique(units))
    if count < 2:
        raise UserError(
            f"a probe needs two people or expressions to be divided, the examples show {count}"
        )
    folds = GroupKFold(n_splits=min(num_parts, count)).split(units, groups=units)
    return [_division(fit, test, units, groups) for fit, test in folds]


def divide_once(is_test: np.ndarray, units: np.ndarray, groups: np.ndarray) -> list[Division]:
    """A single division into given parts; what shares a group with the test part is not fitted.

    Args:
        is_test: bool `[N]`.
        units: `[N]`, along which the validation part is cut.
        groups: `[N]`.
    """
    return [_division(np.flatnonzero(~is_test), np.flatnonzero(is_test), units, groups)]


def _division(fit: np.ndarray, test: np.ndarray, units: np.ndarray, groups: np.ndarray) -> Division:
    fit = fit[~np.isin(groups[fit], groups[test])]
    validation = fit[:0]
    count = len(np.unique(units[fit]))
    if count > 1:
        folds = GroupKFold(n_splits=min(NUM_PARTS, count)).split(fit, groups=units[fit])
        validation = fit[next(folds)[1]]
    return Division(fit, validation, test)


def check_divisions(divisions: Sequence[Division], groups: np.ndarray) -> None:
    """Refuses divisions that ask a probe about a group it has seen.

    Raises:
        ValueError: Names a group that stands on both sides.
    """
    for fit, _, test in divisions:
        shared = np.intersect1d(groups[fit], groups[test])
        if len(shared):
            raise ValueError(f"group {shared[0]} stands in the fit and in the test part of a probe")


def early_part(division: Division, groups: np.ndarray) -> np.ndarray:
    """What is fitted to choose the regularisation: all but the validation part's groups."""
    fit, validation, _ = division
    return fit[~np.isin(fit, validation) & ~np.isin(groups[fit], groups[validation])]

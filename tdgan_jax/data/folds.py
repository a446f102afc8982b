"""Subject-disjoint folds: the subjects of each part, and the check that no subject is in two.

A subject is a text. The assignment is a function of the subjects' names and of the class counts
of their images alone: the order of files on disk changes nothing, and no random numbers are drawn.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tdgan_jax.errors import UserError

NUM_FOLDS = 10
"""Folds of the papers' protocol."""

# One look at all pairs of subjects is one pass; small sets come to rest after two or three.
_MAX_PASSES = 8
_MILLION = 10**6


def fold_name(number: int) -> str:
    """Names the TFDS split of a fold, e.g. `fold_0`."""
    return f"fold_{number}"


def assign_folds(
    subjects: Sequence[str], classes: Sequence[str], *, num_folds: int = NUM_FOLDS
) -> dict[str, int]:
    """Distributes subjects over folds so that images and classes are balanced.

    The largest subjects are placed first, each where it hurts the balance least; then subjects are
    moved and exchanged as long as that helps. The balance is the sum, over folds and over the
    columns `all images` and `images of class c`, of the squared deviation from an equal share in
    units of that share.

    Args:
        subjects: `[N]` the subject of each image.
        classes: `[N]` the class of each image; unlabelled images are a class of their own.
        num_folds: Number of folds, at least 2.

    Returns:
        The fold of every subject, sorted by subject; every fold holds at least one.

    Raises:
        UserError: If there are fewer subjects than folds.
    """
    people, subject_index = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    if num_folds < 2 or len(people) < num_folds:
        raise UserError(f"{num_folds} folds need as many subjects; there are {len(people)}")
    names, class_index = np.unique(np.asarray(classes, dtype=str), return_inverse=True)
    counts = np.zeros((len(people), 1 + len(names)), np.int64)
    np.add.at(counts, (subject_index, 1 + class_index), 1)
    counts[:, 0] = counts.sum(axis=1)
    # One over the equal share, in whole millionths: sums of integers are the same everywhere.
    weights = np.maximum(_MILLION * num_folds // counts.sum(axis=0), 1)
    folds = _place_largest_first(counts, counts * weights, num_folds)
    for _ in range(_MAX_PASSES):
        if not _improve(folds, counts, counts * weights, num_folds):
            break
    return {str(name): int(fold) for name, fold in zip(people, _numbered(folds), strict=True)}


def assert_disjoint(parts: Mapping[str, Iterable[str]]) -> None:
    """Makes sure that no subject stands in two parts.

    Args:
        parts: By the name of a part (`fold_3`, `training`, `test`) the subjects of its images, or
            hashes of pictures where subjects are unknown; empty texts are unknown and pass.

    Raises:
        UserError: Names a subject and the two parts that it stands in.
    """
    part_of: dict[str, str] = {}
    for part, subjects in parts.items():
        for subject in sorted({str(subject) for subject in subjects} - {""}):
            other = part_of.setdefault(subject, part)
            if other != part:
                raise UserError(
                    f"subject {subject} stands in {other} and in {part}; parts of a "
                    "subject-independent protocol must not share anybody"
                )


def _place_largest_first(counts: np.ndarray, weighted: np.ndarray, num_folds: int) -> np.ndarray:
    sums = np.zeros((num_folds, counts.shape[1]), np.int64)
    sizes = np.zeros(num_folds, int)
    folds = np.empty(len(counts), int)
    order = np.argsort(-counts[:, 0], kind="stable")
    for position, person in enumerate(order):
        # How much the cost grows, less what is the same everywhere; few subjects break a tie.
        growth = sums @ weighted[person]
        candidates = np.arange(num_folds)
        if len(order) - position <= np.count_nonzero(sizes == 0):
            candidates = np.flatnonzero(sizes == 0)
        best = candidates[np.lexsort((sizes[candidates], growth[candidates]))[0]]
        folds[person] = best
        sums[best] += counts[person]
        sizes[best] += 1
    return folds


def _improve(folds: np.ndarray, counts: np.ndarray, weighted: np.ndarray, num_folds: int) -> bool:
    """Moves and exchanges subjects where that helps, in place; tells whether anything helped."""
    squares = (weighted * counts).sum(axis=1)
    sums = np.zeros((num_folds, counts.shape[1]), np.int64)
    np.add.at(sums, folds, counts)
    helped = False
    for person, own in enumerate(folds):
        pull = sums @ weighted[person]
        # Half of what the cost changes by, from multiplying out the squares.
        move = pull - pull[own] + squares[person]
        pull_of_others = ((sums[own] - sums[folds]) * weighted).sum(axis=1)
        exchange = move[folds] + pull_of_others + squares - 2 * (weighted @ counts[person])
        move[own] = 0
        if np.count_nonzero(folds == own) == 1:
            move[:] = 0
        exchange[folds == own] = 0
        other, target = int(np.argmin(exchange)), int(np.argmin(move))
        if min(exchange[other], move[target]) >= 0:
            continue
        helped = True
        if move[target] <= exchange[other]:
            changes = [(person, target)]
        else:
            changes = [(person, int(folds[other])), (other, int(own))]
        for who, where in changes:
            sums[folds[who]] -= counts[who]
            sums[where] += counts[who]
            folds[who] = where
    return helped


def _numbered(folds: np.ndarray) -> np.ndarray:
    """Renumbers the folds by their first subject, so that equal divisions get equal numbers."""
    _, first = np.unique(folds, return_index=True)
    return np.argsort(np.argsort(first))[folds]

"""Pictures that occur more than once, exactly or nearly."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

MAX_DISTANCE = 16
"""Fingerprints of 256 bits that differ in at most so many bits are those of near duplicates."""

_ROWS_AT_A_TIME = 64


class NearDuplicate(NamedTuple):
    """Two pictures that look nearly equal: their positions, and how many bits differ."""

    first: int
    second: int
    distance: int


def identical_pictures(digests: Sequence[bytes] | np.ndarray) -> list[list[int]]:
    """Finds the pictures that occur more than once.

    Args:
        digests: `[N]` hashes of pictures, or uint8 `[N, B]`.

    Returns:
        For every picture that occurs more than once its positions, in increasing order.
    """
    positions: defaultdict[bytes, list[int]] = defaultdict(list)
    for position, digest in enumerate(digests):
        positions[bytes(digest)].append(position)
    return [group for group in positions.values() if len(group) > 1]


def near_duplicates(
    fingerprints: np.ndarray,
    parts: np.ndarray,
    *,
    max_distance: int = MAX_DISTANCE,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Iterator[NearDuplicate]:
    """Finds pictures of different parts that look nearly equal, by comparing all pairs.

    Args:
        fingerprints: uint8 `[N, 32]`, as `image_files.fingerprint` gives them.
        parts: `[N]` the part that each picture stands in (a fold, or train and test).
        max_distance: Number of bits that may differ.
        progress: Passes on what it is given, to show how far this has come.

    Yields:
        Pairs with `first < second`, in increasing order; equal pictures have distance 0.
    """
    words = np.ascontiguousarray(fingerprints).view(np.uint64)
    for start in progress(range(0, len(words), _ROWS_AT_A_TIME)):
        rows = words[start : start + _ROWS_AT_A_TIME]
        distances = np.zeros((len(rows), len(words) - start), np.uint16)
        for column in range(words.shape[1]):
            differing = rows[:, column, None] ^ words[None, start:, column]
            distances += np.bitwise_count(differing)
        for first, second in np.argwhere(distances <= max_distance):
            if first < second and parts[start + first] != parts[start + second]:
                yield NearDuplicate(
                    int(start + first), int(start + second), int(distances[first, second])
                )

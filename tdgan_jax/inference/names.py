"""Names of files that are free, and not longer than a file system allows."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

MAX_NAME_BYTES = 255


def free_path(path: Path, is_taken: Callable[[Path], bool], *, first: int = 2) -> Path:
    """The path, or if it is taken the first of `x_2.png`, `x_3.png`, ... that is not.

    Args:
        path: The name that is wanted.
        is_taken: Whether a path cannot be used.
        first: Number to begin with, where lower ones are known to be taken.
    """
    free = path.with_name(fitting(path.stem, path.suffix))
    for number in itertools.count(first):
        if not is_taken(free):
            break
        free = path.with_name(fitting(path.stem, f"_{number}{path.suffix}"))
    return free


def fitting(stem: str, ending: str) -> str:
    """A name from its two parts, the first of which is cut off where it is too long."""
    room = max(1, MAX_NAME_BYTES - len(os.fsencode(ending)))
    encoded = os.fsencode(stem)
    if len(encoded) > room:
        stem = encoded[:room].decode(errors="ignore")  # No character is cut in two.
    return stem + ending

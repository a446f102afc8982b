"""Marks a folder or a file as in use by this process, for as long as it lives."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def lock(descriptor: int, *, wait: bool = False) -> bool | None:
    """Locks a folder or a file that is open; closing it unlocks it, as the end of the process does.

    Args:
        descriptor: Of the open file.
        wait: Waits for a process that holds the lock.

    Returns:
        True: it is locked; False: another process holds it; None: its file system, as many on
        networks, has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    except BlockingIOError:
        return False
    except OSError:
        return None


@contextlib.contextmanager
def locked_folder(folder: Path, *, wait: bool = False) -> Iterator[bool | None]:
    """Locks a folder during a block.

    Args:
        folder: A folder that exists.
        wait: Waits for a process that holds the lock.

    Yields:
        What `lock` gives.

    Raises:
        OSError: If the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield lock(descriptor, wait=wait)
    finally:
        os.close(descriptor)

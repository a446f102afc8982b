"""Marks a folder as in use by this process, for as long as it lives."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked_folder(folder: Path, *, wait: bool = False) -> Iterator[bool | None]:
    """Locks a folder; the end of the process unlocks it, however it ends.

    Args:
        folder: A folder that exists.
        wait: Waits for a process that holds the lock.

    Yields:
        True: it is locked; False: another process holds it; None: its file system, as many on
        networks, locks no folders.

    Raises:
        OSError: If the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            is_locked = True
        except BlockingIOError:
            is_locked = False
        except OSError:
            is_locked = None
        yield is_locked
    finally:
        os.close(descriptor)

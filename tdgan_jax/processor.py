"""How many cores of the processor may be used."""

import os


def usable_cores() -> int:
    """Cores that this process may use; a container often grants fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone can tell
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

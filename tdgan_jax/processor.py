"""What a program takes of its machine: cores of the processor, pages of the memory."""

import os
import sys

# Read by the GNU C library when a process starts, and only then.
MEMORY_SETTINGS = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb=1"


def usable_cores() -> int:
    """Cores that this process may use; a container often grants fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone can tell
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def restart_with_huge_pages() -> None:
    """Starts this program again with huge pages for its memory; call it before anything else.

    XLA gives the memory of a training step back to the system and takes it again in the next one:
    with huge pages that costs a small part of the page faults (measured in `benchmarks/README.md`).
    The same process goes on with the same arguments. Nothing happens outside of Linux, and where
    the environment variable `GLIBC_TUNABLES` has a value, be it an empty one.
    """
    if sys.platform != "linux" or not sys.executable or MEMORY_SETTINGS in os.environ:
        return
    os.environ[MEMORY_SETTINGS] = HUGE_PAGES
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

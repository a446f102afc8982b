"""What a program takes of its machine: cores of the processor, pages of the memory."""

import os
import sys

# Environment variable that the GNU C library reads when a process starts, and only then.
GLIBC_SETTINGS = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb=1"
RESTARTED = "tdgan_jax_restarted"  # Python takes any name as `-X NAME` and does nothing with it.


def usable_cores() -> int:
    """Cores that this process may use; a container often grants fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone can tell
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def restart_with_huge_pages() -> None:
    """Starts this program again with huge pages for its memory.

    To be called before the program prints, reads its standard input or starts threads. XLA gives
    the memory of a training step back to the system and takes it again in the next one: with huge
    pages that costs a small part of the page faults (measured in `benchmarks/README.md`). The same
    process goes on with the same arguments. Nothing happens outside of Linux, and where the
    environment variable `GLIBC_TUNABLES` is set, be it to nothing: `GLIBC_TUNABLES= tdgan-jax ...`
    for debuggers that lose a program that starts again.
    """
    if GLIBC_SETTINGS in os.environ or RESTARTED in sys._xoptions:
        return
    if sys.platform != "linux" or not sys.executable:
        return
    os.environ[GLIBC_SETTINGS] = HUGE_PAGES
    try:
        os.execv(sys.executable, [sys.executable, "-X", RESTARTED, *sys.orig_argv[1:]])
    except OSError:  # It works without them, only slower.
        del os.environ[GLIBC_SETTINGS]

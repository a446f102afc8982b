"""Stopping after a step: SIGTERM to one process stops all of them after the same one."""

import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tdgan_jax.processes.membership import several

# JAX counts calls, and this count must rise over all runs of a process: the folds' steps do not.
_calls = itertools.count(1)
_agreed_to_stop = False


class Interrupted(Exception):
    """The process was asked to stop; the state is saved."""


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Collects SIGTERM instead of dying of it.

    Yields:
        What says whether to stop, to be asked once after each step. Of several processes all are
        told so after the same step, whichever of them got the signal: JAX receives it then, and a
        handler of our own would take it away.
    """
    if several():
        yield _all_stop
        return
    requests: list[int] = []

    def remember(number: int, _: Any) -> None:
        # The first step may be compiling, for minutes. `print` cannot be called in a handler.
        os.write(sys.stderr.fileno(), b"tdgan-jax: stopping after this step\n")
        requests.append(number)

    previous = signal.signal(signal.SIGTERM, remember)
    try:
        yield lambda: bool(requests)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _all_stop() -> bool:
    from jax.experimental.multihost_utils import reached_preemption_sync_point

    global _agreed_to_stop
    # JAX says it once; where that is after a fold's last step, the next fold is to hear it.
    _agreed_to_stop = reached_preemption_sync_point(next(_calls)) or _agreed_to_stop
    return _agreed_to_stop

"""A process of several runs as the child of one that waits: JAX may end it without a word.

When one process is lost, JAX aborts the others from a thread of its own (SIGABRT) before Python
sees anything. The waiting parent says then what happened and gives an orderly exit code.
"""

import ctypes
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from tdgan_jax.errors import UserError
from tdgan_jax.processes.membership import PATIENCE_MS, membership

PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl
GOOD_BYE_MS = 5000  # for the others to leave as well after an error
STOPPED = 128 + signal.SIGTERM
GO_ON = "No checkpoint is damaged: when all processes have ended, the same command goes on"
# How JAX's errors begin where its coordinator does not answer, or another process does not.
LOST_STATUSES = ("UNAVAILABLE: ", "DEADLINE_EXCEEDED: ", "ABORTED: ", "CANCELLED: ")
# What those of a lost process say that have another status: of gloo, NCCL and the coordinator.
LOST_MARKS = (
    "closed by peer",
    "reset by peer",
    "broken pipe",
    "timed out waiting",
    "remote process",
    "barrier failed",
    "coordination service has stopped",
)
OF_A_PROCESS = re.compile(r"process \d+ ")  # an error that says whose it is


class Line:
    """How the watched process tells its parent how far it has come."""

    MET = b"m"  # the processes have met
    SAID = b"s"  # it has written why it fails

    def __init__(self, descriptor: int):
        """Takes the writing end of a pipe."""
        self._descriptor = descriptor

    def tell(self, news: bytes) -> None:
        """Tells one of the two."""
        os.write(self._descriptor, news)


def run_watched(name: str, work: Callable[[Callable[[], None]], int]) -> int:
    """Does the work of one of several processes in a child; returns its exit code in both.

    Must be called before JAX computes anything, whose threads do not survive a fork.

    Args:
        name: Which process it is, for messages.
        work: `report_met -> exit code`; calls `report_met()` once the processes have met.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _die_with_parent()
        return _work_among_others(Line(writing), name, work)
    os.close(writing)
    # The terminal interrupts the child as well; a scheduler may know the parent only.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(child, number))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.set_blocking(reading, False)  # a worker of the child's may hold the other end still
    try:
        news = os.read(reading, 2)
    except BlockingIOError:
        news = b""
    if code >= 0:
        return code
    if Line.SAID not in news:
        _say(f"{name} {_end_by_signal(-code, has_met=Line.MET in news)}")
    return STOPPED if -code == signal.SIGTERM else 1


def _end_by_signal(number: int, *, has_met: bool) -> str:
    if number == signal.SIGTERM:
        return "was stopped before the training began"
    if number != signal.SIGABRT:
        reason = " (often: out of memory)" if number == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(number).name}{reason}. {GO_ON}"
    if has_met:
        return (
            "was ended by JAX: another process of the run is gone, or cannot be reached any more. "
            f"{GO_ON}"
        )
    return (
        "was ended by JAX: not all processes met within parallel.initialization_timeout_s. Start "
        "all of them, with the address of process 0, which the others must be able to reach"
    )


def _work_among_others(line: Line, name: str, work: Callable[[Callable[[], None]], int]) -> int:
    """Does the work and leaves together with the others, or without them if they are lost."""
    try:
        code = work(lambda: line.tell(Line.MET))
    except UserError as error:
        line.tell(Line.SAID)
        _say(str(error) if OF_A_PROCESS.match(str(error)) else f"{name}: {error}")
        code = error.exit_code
    except KeyboardInterrupt:
        line.tell(Line.SAID)
        _say(f"{name}: interrupted")
        _leave_at_once(130)
    except Exception as error:
        line.tell(Line.SAID)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if has_lost_another(error):
            _say(
                f"{name} has lost another process of the run, or waited for it too long: "
                f"{reason[:200]}. {GO_ON}"
            )
        else:
            traceback.print_exc()
            _say(f"{name} failed: {reason[:200]}. {GO_ON}")
        _leave_at_once(1)
    if not _others_leave_too(PATIENCE_MS if code in (0, STOPPED) else GOOD_BYE_MS):
        _leave_at_once(code or 1)
    return code


def has_lost_another(error: Exception) -> bool:
    """Whether an error is JAX's, of a process that is gone; all others are shown in full."""
    from jax.errors import JaxRuntimeError

    if not isinstance(error, JaxRuntimeError):
        return False
    text = str(error)
    return text.startswith(LOST_STATUSES) or any(mark in text.lower() for mark in LOST_MARKS)


def _others_leave_too(patience_ms: int) -> bool:
    """Whether all processes have come to their end; JAX would wait for them, and then abort."""
    client = membership().client
    if client is None:
        return True
    try:
        client.wait_at_barrier("tdgan_jax/leaving", patience_ms)
    except (RuntimeError, ValueError):
        return False
    return True


def _leave_at_once(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _say(text: str) -> None:
    print(f"tdgan-jax: {text}", file=sys.stderr, flush=True)


def _die_with_parent() -> None:
    """Lets the kernel kill this process with its parent; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)

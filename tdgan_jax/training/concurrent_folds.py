"""Several folds of a cross-validation at once, each on a device of its own.

Each device has a thread, which takes the next fold when its last one is finished. Signals reach the
main thread alone, which waits; after SIGTERM, Ctrl-C or an error in a fold every thread stops after
its step, with the state saved.
"""

import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax

from tdgan_jax.configuration import Config
from tdgan_jax.data.folds import fold_name
from tdgan_jax.errors import UserError
from tdgan_jax.families.program import Program
from tdgan_jax.processes.membership import several
from tdgan_jax.processes.stopping import Interrupted, stop_requests
from tdgan_jax.steps.parallel import make_mesh
from tdgan_jax.training.opening import Run
from tdgan_jax.training.run_place import Place

# The system may give a signal to a thread that cannot handle it: how soon the main one looks.
LOOK_FOR_SIGNALS_S = 0.2


class Turn(NamedTuple):
    """A fold whose turn it is.

    Attributes:
        fold: Its number.
        place: Where it is to train; None: wherever a run of its own would.
        program: Compiled functions of the fold before it on the same devices, if there was one.
        beside: Folds that train at the same time.
        after: Folds whose turn is still to come.
    """

    fold: int
    place: Place | None
    program: Program | None
    beside: tuple[int, ...]
    after: tuple[int, ...]


OpenFold = Callable[[Turn], Run | None]
CompleteFold = Callable[[int, Run | None], None]


def devices_for_folds(config: Config, num_unfinished: int) -> list[Any]:
    """The devices that take a fold each; none where the folds are trained one after the other.

    Args:
        config: Its `parallel.folds` says how, `"auto"` by what is there.
        num_unfinished: Folds that are to be trained.
    """
    way = config.parallel.folds
    if way == "sequential" or several():
        return []
    devices = jax.local_devices()[:num_unfinished]
    return devices if way == "per_device" or len(devices) > 1 else []


class _Queue(NamedTuple):
    """The folds that are to be trained, and how: the same for all threads.

    Attributes:
        waiting: Folds whose turn is still to come.
        training: By thread the fold that it took last.
        opening: Held by the thread that takes a fold and opens it.
        is_stopping: Whether to stop after the next step.
        num_devices: How many threads there are.
        open_fold: Gives the run of a fold, None for a finished one.
        complete_fold: Brings a run to its end.
    """

    waiting: deque[int]
    training: dict[int, int]
    opening: threading.Lock
    is_stopping: Callable[[], bool]
    num_devices: int
    open_fold: OpenFold
    complete_fold: CompleteFold


def train_at_once(
    folds: Sequence[int],
    devices: Sequence[Any],
    open_fold: OpenFold,
    complete_fold: CompleteFold,
) -> None:
    """Trains as many folds at once as there are devices, in their order.

    Args:
        folds: Numbers of the folds.
        devices: Of this process.
        open_fold: Gives the run of a fold, None for a finished one. One thread calls it at a time:
            what reads datasets and counts the free disk space does not meet itself.
        complete_fold: Brings a run to its end.

    Raises:
        UserError: That of a fold; the others have stopped after their step.
        Interrupted: After SIGTERM; names the folds whose state is saved.
        KeyboardInterrupt: After Ctrl-C, when the folds have stopped.
    """
    waiting, giving_up = deque(folds), threading.Event()
    workers: list[Future[None]] = []
    with stop_requests() as sigterm_came, ThreadPoolExecutor(len(devices)) as pool:
        queue = _Queue(
            waiting=waiting,
            training={},
            opening=threading.Lock(),
            is_stopping=lambda: giving_up.is_set() or sigterm_came(),
            num_devices=len(devices),
            open_fold=open_fold,
            complete_fold=complete_fold,
        )
        try:
            workers += [pool.submit(_work, *at, queue) for at in enumerate(devices)]
            busy = set(workers)
            while busy and not any(worker.done() and worker.exception() for worker in workers):
                _, busy = wait(busy, LOOK_FOR_SIGNALS_S, FIRST_EXCEPTION)
        finally:
            giving_up.set()
    _raise_failure([worker.exception() for worker in workers], waiting)


def _work(row: int, device: Any, queue: _Queue) -> None:
    """Trains folds on one device until none is left."""
    place = Place(
        make_mesh([device]),
        devices_at_once=queue.num_devices,
        bar_row=row,
        stop_requests=lambda: nullcontext(queue.is_stopping),
    )
    program = None
    with jax.default_device(device):
        while True:
            with queue.opening:
                queue.training.pop(row, None)
                if not queue.waiting or queue.is_stopping():
                    return
                fold = queue.waiting.popleft()
                turn = Turn(
                    fold,
                    place._replace(name=fold_name(fold)),
                    program,
                    beside=tuple(queue.training.values()),
                    after=tuple(queue.waiting),
                )
                queue.training[row] = fold
                run = queue.open_fold(turn)
            if run is not None:
                program = run.program
                if queue.is_stopping():
                    raise Interrupted(f"{fold_name(fold)}: stopped before a step")
            queue.complete_fold(fold, run)
            del run  # with its data, before those of the next one are loaded


def _raise_failure(ends: Sequence[BaseException | None], waiting: Sequence[int]) -> None:
    """Raises the first error, after the others are printed; else says what was stopped."""
    failures = [end for end in ends if end is not None and not isinstance(end, Interrupted)]
    for other in failures[1:]:
        if isinstance(other, UserError):
            print(f"tdgan-jax: {other}", file=sys.stderr)
        else:
            traceback.print_exception(other)
    if failures:
        raise failures[0]
    if stops := [str(end) for end in ends if end is not None]:
        raise Interrupted("; ".join(stops))
    if waiting:  # every fold that trained was at its end
        raise Interrupted(f"stopped before {fold_name(waiting[0])}")

"""Which of the processes of a run this one is, and what all of them agree on.

A process that trains alone is the first one of one: every function here is then free and does what
its name says without others. With several, all of them must call the same functions in the same
order. Values travel as JSON through the key-value store of JAX's coordinator, not through the
devices: nothing is computed that could hang. A process that waits for another one waits until it
answers, or until the coordinator misses its heartbeat and JAX ends all of them.
"""

import itertools
import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from tdgan_jax.errors import UsageError, UserError

T = TypeVar("T")

# A day, in milliseconds: how long the first process may work alone, e.g. draw a dataset.
PATIENCE_MS = 24 * 3600 * 1000


class Membership(NamedTuple):
    """This process among those of its run.

    Attributes:
        process_id: From 0; process 0 alone writes.
        num_processes: How many there are.
        client: JAX's client of the coordinator; None for a process that is alone.
    """

    process_id: int = 0
    num_processes: int = 1
    client: Any = None

    def __str__(self) -> str:
        """In words, for messages."""
        return f"process {self.process_id} of {self.num_processes}"


_membership = Membership()
_exchanges = itertools.count()


def membership() -> Membership:
    """This process among those of its run."""
    return _membership


def enter(entered: Membership) -> None:
    """Makes this process one of several, once it has met the others."""
    global _membership
    _membership = entered


def several() -> bool:
    """Whether this is one of several processes."""
    return _membership.num_processes > 1


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return _membership.process_id == 0


def on_first_process(work: Callable[[], T]) -> T:
    """Does some work in process 0 alone; all get what it gives.

    Args:
        work: Its result can be written as JSON.

    Raises:
        UserError: That of the work, in all processes.
    """
    if not several():
        return work()
    key = f"tdgan_jax/{next(_exchanges)}"
    if is_first():
        try:
            value = work()
        except UserError as error:
            _put(key, _as_json(error))
            raise
        _put(key, {"value": value})
        return value
    answer = _get(key)
    _raise_error_in(answer)
    return answer["value"]


def gathered(value: Any) -> list[Any]:
    """A JSON value of each process, in the order of the processes."""
    if not several():
        return [value]
    key = f"tdgan_jax/{next(_exchanges)}"
    _put(f"{key}/{_membership.process_id}", value)
    return [_get(f"{key}/{other}") for other in range(_membership.num_processes)]


def all_or_none(work: Callable[[], T]) -> T:
    """Does some work in every process; if one of them fails, all do.

    Raises:
        UserError: That of the first process that failed, with its number.
    """
    if not several():
        return work()
    answer: dict[str, Any] = {}
    done: list[T] = []
    try:
        done.append(work())
    except UserError as error:
        answer = _as_json(error, prefix=f"{_membership}: ")
    for other in gathered(answer):
        _raise_error_in(other)
    return done[0]


def in_turn(work: Callable[[], T]) -> T:
    """Does some work in process 0, and when it is done in all others, which may use its files.

    Raises:
        UserError: If one of them fails, in all.
    """
    done: list[T] = []
    on_first_process(lambda: done.append(work()))
    return all_or_none(lambda: done[0] if done else work())


def _as_json(error: UserError, prefix: str = "") -> dict[str, Any]:
    return {"error": f"{prefix}{error}", "wrong_use": isinstance(error, UsageError)}


def _raise_error_in(answer: dict[str, Any]) -> None:
    if "error" in answer:
        raise (UsageError if answer["wrong_use"] else UserError)(answer["error"])


def _put(key: str, value: Any) -> None:
    _membership.client.key_value_set(key, json.dumps(value))


def _get(key: str) -> Any:
    return json.loads(_membership.client.blocking_key_value_get(key, PATIENCE_MS))

"""Work in other threads while the results before are used: in order, and never far ahead."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_END: Any = object()


def in_order(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Generator[Result]:
    """Applies a function to items in the threads of a pool.

    Args:
        pool: The threads. The function must not wait for other work of the same pool.
        function: What is done with an item; what it raises is raised here, in its place.
        items: Taken in this thread.
        ahead: How many items are worked on or finished beside the one that is used.

    Yields:
        The results in the order of the items.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def one_ahead(pool: Executor, items: Iterator[Item]) -> Generator[Item]:
    """Gives the items of an iterator, the next of which is made while one is used.

    Args:
        pool: Threads, in one of which at a time the iterator runs.
        items: The iterator.
    """
    future = pool.submit(next, items, _END)
    try:
        while (item := future.result()) is not _END:
            future = pool.submit(next, items, _END)
            yield item
    finally:
        # The iterator must not be closed while it runs.
        if not future.cancel():
            future.exception()

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tdgan_jax.inference.overlap import in_order, one_ahead


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


def test_results_come_in_order_and_items_are_not_taken_far_ahead(pool):
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = in_order(pool, lambda number: number * 2, items(), ahead=3)
    assert next(results) == 0
    assert taken == [0, 1, 2, 3]
    assert list(results) == list(range(2, 200, 2))


def test_work_goes_on_while_a_result_is_used(pool):
    second_has_begun = threading.Event()

    def work(number):
        if number == 1:
            second_has_begun.set()
        return number

    results = in_order(pool, work, range(2), ahead=1)
    assert next(results) == 0
    assert second_has_begun.wait(timeout=20)


def test_an_error_is_raised_in_its_place(pool):
    results = in_order(pool, lambda number: 1 // number, [1, 1, 0, 1], ahead=2)
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_of_an_iterator_one_item_is_made_ahead(pool):
    made = []

    def items():
        for number in range(5):
            made.append((number, threading.current_thread() is threading.main_thread()))
            yield number

    ahead = one_ahead(pool, items())
    assert next(ahead) == 0
    assert list(ahead) == [1, 2, 3, 4]
    assert made == [(number, False) for number in range(5)]
    left = one_ahead(pool, items())
    next(left)
    left.close()
    assert len(made) <= 7

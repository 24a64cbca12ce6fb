import threading
import time

import pytest

from flood_seg.pipeline import pipeline


def test_results_come_in_order_whichever_is_faster():
    def slow(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number * 2

    assert list(pipeline(range(30), [(slow, 4), (str, 1)])) == [str(2 * n) for n in range(30)]


def test_stages_overlap():
    """Each item meets its neighbour: stage one of an item and stage two of the one before wait for each other."""
    barrier = threading.Barrier(2, timeout=5)

    def first(number: int) -> int:
        if number > 0:
            barrier.wait()
        return number

    def second(number: int) -> int:
        if number < 5:
            barrier.wait()
        return number

    assert list(pipeline(range(6), [(first, 1), (second, 1)])) == list(range(6))


def test_only_a_few_items_are_under_way():
    begun, taken, most = [], 0, 0

    def items():
        for number in range(50):
            begun.append(number)
            yield number

    for _ in pipeline(items(), [(lambda n: n, 1)], ahead=3):
        taken += 1
        most = max(most, len(begun) - taken)
    assert taken == 50 and most <= 3


def test_an_error_comes_at_its_items_turn_and_later_items_are_not_begun():
    done = []

    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        done.append(number)
        return number

    results = pipeline(range(1000), [(work, 1)], ahead=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert max(done) < 10

"""Work done ahead: in order, bounded, and ended with whoever asked for it."""

from __future__ import annotations

import threading
import time

import pytest

from convatlas.bulk.prefetch import prefetch


def test_order_and_bound() -> None:
    begun, taken = [], []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.001 * (item % 3))
        return -item

    for found in prefetch(work, iter(range(50)), threads=3, ahead=4):
        taken.append(found)
        assert len(begun) - len(taken) <= 4
    assert taken == [-item for item in range(50)]


@pytest.mark.parametrize("many", [0, 1])
def test_few(many: int) -> None:
    assert list(prefetch(str, range(many), threads=2, ahead=4)) == ["0"] * many


def test_it_is_ahead() -> None:
    """The second item is worked at while the first one is used."""
    second = threading.Event()
    for item in prefetch(lambda item: second.set() if item == 1 else None, range(2), threads=1, ahead=1):
        assert item is None
        assert second.wait(10)


def test_an_error_comes_where_its_item_does() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    taken = []
    with pytest.raises(ValueError, match="two"):
        taken.extend(iter(prefetch(work, range(9), threads=2, ahead=3)))
    assert taken == [0, 1]


def test_nothing_goes_on_after_it_was_closed() -> None:
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        time.sleep(0.01)

    steps = prefetch(work, range(1000), threads=2, ahead=4)
    next(steps)
    steps.close()
    before = len(begun)
    time.sleep(0.05)
    assert len(begun) == before <= 6

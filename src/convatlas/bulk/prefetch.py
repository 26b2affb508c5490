"""Work done ahead by threads, of which never more than a little waits to be taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Done = TypeVar("Done")


def ahead(work: Callable[[Given], Done], items: Iterable[Given], threads: int, most: int) -> Iterator[Done]:
    """`work` of each item in turn; up to `most` are begun or done before they are asked for."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Done]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)

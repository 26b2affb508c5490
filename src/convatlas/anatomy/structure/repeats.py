"""Find what repeats in a sequence."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """`times` equal runs of `length` items each, the first of which starts at `start`."""

    start: int
    length: int
    times: int


def runs(items: Sequence[Hashable], heads: Sequence[bool] | None = None) -> list[Run]:
    """Divide a sequence into runs, from left to right: each covers as much as possible, of equals the shortest counts.

    A run that could as well start within its first round starts there at the first item marked in `heads`.
    """
    names: dict[Hashable, int] = {}
    signs = [names.setdefault(item, len(names)) for item in items]
    result: list[Run] = []
    start = 0
    while start < len(signs):
        best = Run(start, 1, 1)
        for length in range(1, (len(signs) - start) // 2 + 1):
            times = _times(signs, start, length)
            if times > 1 and times * length > best.times * best.length:
                best = Run(start, length, times)
        for later in range(start, start + best.length):
            if heads and heads[later] and _times(signs, later, best.length) >= best.times:
                result += [Run(at, 1, 1) for at in range(start, later)]
                best = Run(later, best.length, best.times)
                break
        result.append(best)
        start = best.start + best.length * best.times
    return result


def _times(signs: list[int], start: int, length: int) -> int:
    """Return how often the `length` items from `start` on follow one another."""
    times, end = 1, start + length
    while signs[end : end + length] == signs[start : start + length]:
        times, end = times + 1, end + length
    return times

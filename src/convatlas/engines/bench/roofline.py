"""How fast this machine can be at most: multiply-accumulates and bytes a second, measured on the spot."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

SIDE = 1024
"""Of the square matrices whose product shows the peak of arithmetic."""

BYTES = 2**27
"""Of the array whose copy shows the bandwidth: more than any cache holds."""


@dataclass(frozen=True)
class Limits:
    """The machine's own peaks: float32 multiply-accumulates, and bytes read or written, a second."""

    macs: float
    bandwidth: float

    def milliseconds(self, macs: float, traffic: float) -> float:
        """No net with so many multiply-accumulates and bytes to move can take less."""
        return 1e3 * max(macs / self.macs, traffic / self.bandwidth)


def limits() -> Limits:
    """The best of several products of matrices, and of several copies."""
    a, b = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE)
    source, target = torch.ones(BYTES // 4), torch.empty(BYTES // 4)
    return Limits(SIDE**3 / _best(lambda: a @ b), 2 * BYTES / _best(lambda: target.copy_(source)))


def _best(work: Callable[[], object], tries: int = 7) -> float:
    found = []
    for _ in range(tries):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)

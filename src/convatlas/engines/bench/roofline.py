"""Measure the machine's peak rates: multiply-accumulates and bytes in a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

SIDE = 1024
"""Side of the square matrices whose product gives the peak of arithmetic."""

BYTES = 2**27
"""Size of the array whose copy gives the bandwidth, larger than any cache."""


@dataclass(frozen=True)
class Roofline:
    """Peak rates of a machine.

    Attributes:
        macs: Float32 multiply-accumulates in a second.
        bandwidth: Bytes read or written in a second.
    """

    macs: float
    bandwidth: float

    def milliseconds(self, macs: float, traffic: float) -> float:
        """Return the least time for a number of multiply-accumulates and bytes of memory traffic."""
        return 1e3 * max(macs / self.macs, traffic / self.bandwidth)


def measure_roofline() -> Roofline:
    """Measure the fastest of several matrix products, and of several copies."""
    a, b = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE)
    source, target = torch.ones(BYTES // 4), torch.empty(BYTES // 4)
    return Roofline(SIDE**3 / _least_seconds(lambda: a @ b), 2 * BYTES / _least_seconds(lambda: target.copy_(source)))


def _least_seconds(work: Callable[[], object], tries: int = 7) -> float:
    seconds = []
    for _ in range(tries):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)

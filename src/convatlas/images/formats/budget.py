"""Budgets for decoding: of memory, shared by all threads, and of time, for each photo."""

from __future__ import annotations

import io
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from convatlas.base.errors import ImageError
from convatlas.base.machine import memory

BYTES = 20
"""Largest memory that decoding takes, in bytes a pixel: 10 for most files, 20 for WebP without loss."""

SECONDS, SECONDS_A_PIXEL = 5.0, 2e-7
"""Computing time that decoding may take: five times what the slowest formats take on a slow machine."""

HEADER_READS = 100_000
"""How often the header of a photo may be read from; no format needs more than some hundred."""


class MemoryBudget:
    """Memory that threads share for work on photos: half of the machine's.

    A thread waits while others work and there is not enough left for it; alone it never waits, so none waits for ever.
    Nobody may ask for more while holding some.
    """

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._used = self._workers = 0

    @cached_property
    def total(self) -> int:
        """The budget in bytes."""
        return memory() // 2

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Hold `size` bytes of the budget within the context.

        Raises:
            ImageError: It is more than the machine has.
        """
        if size > 2 * self.total:
            raise ImageError(
                f"needs up to {size / 1e9:.1f} GB of memory to decode; this machine has {2 * self.total / 1e9:.1f} GB"
            )
        with self._free:
            self._free.wait_for(lambda: not self._workers or self._used + size <= self.total)
            self._used += size
            self._workers += 1
        try:
            yield
        finally:
            with self._free:
                self._used -= size
                self._workers -= 1
                self._free.notify_all()


MEMORY = MemoryBudget()


class Meter:
    """Counts what decoding one photo takes, in the thread that does it."""

    def __init__(self) -> None:
        self.header_reads: float = HEADER_READS
        self.end = time.thread_time() + SECONDS

    def opened(self, pixels: int) -> None:
        """Allow for the pixels, now that the header has been read."""
        self.header_reads = math.inf
        self.end += pixels * SECONDS_A_PIXEL

    def check(self) -> None:
        """Count one reading.

        Raises:
            ImageError: It is one too many, or the time is up.
        """
        self.header_reads -= 1
        if self.header_reads < 0:
            raise ImageError(f"has a header that takes more than {HEADER_READS:,} readings")
        if time.thread_time() > self.end:
            raise ImageError("takes too long to decode")


class MeteredFile(io.BufferedReader):
    """A file on disk whose reading is metered; libtiff reads it by its descriptor, unmetered."""

    def __init__(self, path: str | Path):
        super().__init__(io.FileIO(path, "rb"))
        self.meter = Meter()

    def read(self, size: int | None = -1, /) -> bytes:
        self.meter.check()
        return super().read(size)


class MeteredBytes(io.BytesIO):
    """A file in memory whose reading is metered."""

    def __init__(self, data: bytes):
        super().__init__(data)
        self.meter = Meter()

    def read(self, size: int | None = -1, /) -> bytes:
        self.meter.check()
        return super().read(size)

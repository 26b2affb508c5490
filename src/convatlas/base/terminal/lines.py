"""Progress as lines of text, for an error stream that is no terminal: a log, a pipe, a notebook."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE = 10.0
"""Seconds between two lines, and before the first."""


class ProgressLines:
    """Writes a line about the work that is done, at most one every ten seconds.

    Args:
        label: Name of the work.
        write: Writes a line.
        show: Formats a number of steps; None to write only the share that is done.
        clock: Returns seconds since some fixed moment.
    """

    def __init__(
        self,
        label: str,
        write: Callable[[str], object],
        show: Callable[[int], str] | None = "{:,}".format,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.label, self.write, self.show, self.clock = label, write, show, clock
        self.last = clock()

    def __call__(self, done: int, total: int | None) -> None:
        """Report that `done` steps of `total` (None if unknown) are done."""
        if (now := self.clock()) - self.last < PAUSE:
            return
        self.last = now
        share = f"{100 * done // total} %" if total else ""
        if self.show is not None:
            share = self.show(done) + (f" of {self.show(total)} ({share})" if total else "")
        self.write(f"{self.label}: {share}")

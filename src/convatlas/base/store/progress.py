"""Progress bars of downloads on the error stream, drawn by one process at a time."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from convatlas.base.terminal.lines import ProgressLines

ProgressCallback = Callable[[int, int | None], None]
"""Called with the bytes so far and in all (None if unknown)."""


class Bars:
    """Bars of all downloads of this process: one display, opened by the first and closed by the last.

    Two displays on one terminal would overwrite each other: threads share this one, and while another process draws on
    the same terminal nothing is shown.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0

    @contextmanager
    def bar(self, name: str, quiet: bool) -> Iterator[ProgressCallback]:
        """Show a bar, unless `quiet`, and give the function that moves it."""
        if quiet:
            yield _silent
            return
        with self._lock:
            if self._open == 0:
                self._context = _display()
                self._display = self._context.__enter__()
            self._open += 1
            display = self._display
        try:
            if display is None:
                # On a terminal, another process draws; elsewhere a line is printed now and then.
                silent = sys.stderr is None or sys.stderr.isatty()
                yield _silent if silent else ProgressLines(name, notify, lambda count: f"{count / 1e6:,.1f} MB")
            else:
                task = display.add_task(name, total=None)
                try:
                    yield lambda done, total: display.update(task, completed=done, total=total)
                finally:
                    display.remove_task(task)
        finally:
            with self._lock:
                self._open -= 1
                if self._open == 0:
                    self._context.__exit__(None, None, None)


def _silent(done: int, total: int | None) -> None:
    """Report nothing."""


def notify(line: str) -> None:
    """Print a line to the error stream, if there is one; it appears above the bars."""
    if sys.stderr is not None:
        print(f"convatlas: {line}", file=sys.stderr)


@contextmanager
def _display() -> Iterator[Progress | None]:
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    with _lock_terminal(sys.stderr) as locked:
        if not locked:
            yield None
            return
        columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
        console = Console(stderr=True)
        # `redirect_stdout` would send what is printed to the standard output to the error stream.
        with Progress(
            TextColumn("{task.description}"), *columns, console=console, transient=True, redirect_stdout=False
        ) as progress:
            yield progress


@contextmanager
def _lock_terminal(stream: TextIO) -> Iterator[bool]:
    """Lock the terminal; give False if another process has locked it, True also on systems without such locks."""
    try:
        import fcntl

        # Opened again: an inherited stream shares its locks with the parent and its other children.
        terminal = os.open(os.ttyname(stream.fileno()), os.O_RDONLY | os.O_NOCTTY)
    except (ImportError, OSError):
        yield True
        return
    try:
        yield _try_lock(lambda: fcntl.flock(terminal, fcntl.LOCK_EX | fcntl.LOCK_NB))
    finally:
        os.close(terminal)


def _try_lock(lock: Callable[[], None]) -> bool:
    try:
        lock()
    except BlockingIOError:
        return False
    except OSError:  # a system without locks on terminals
        return True
    return True


BARS = Bars()

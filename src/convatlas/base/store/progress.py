"""Progress bars on the error stream, drawn by one hand at a time."""

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

Tell = Callable[[int, int | None], None]


class Bars:
    """The bars of all downloads of this process: one display, opened by the first and closed by the last.

    Two displays on one terminal would write over each other; threads share this one, and another process that draws
    on the same terminal keeps it to itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def bar(self, name: str, quiet: bool) -> Iterator[Tell]:
        """A function that takes how many bytes there are, of how many (None if nobody knows)."""
        if quiet:
            yield _silent
            return
        with self._lock:
            if self._inside == 0:
                self._opened = _display()
                self._display = self._opened.__enter__()
            self._inside += 1
            display = self._display
        try:
            if display is None:
                yield _silent
            else:
                task = display.add_task(name, total=None)
                try:
                    yield lambda done, total: display.update(task, completed=done, total=total)
                finally:
                    display.remove_task(task)
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._opened.__exit__(None, None, None)


def _silent(done: int, total: int | None) -> None:
    """Tell nobody."""


def say(line: str) -> None:
    """One line on the error stream, if there is one; above the bars while they are drawn."""
    if sys.stderr is not None:
        print(f"convatlas: {line}", file=sys.stderr)


@contextmanager
def _display() -> Iterator[Progress | None]:
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    with _terminal(sys.stderr) as ours:
        if not ours:
            yield None
            return
        columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
        console = Console(stderr=True)
        # What others print on the standard output meanwhile has to stay there.
        with Progress(
            TextColumn("{task.description}"), *columns, console=console, transient=True, redirect_stdout=False
        ) as progress:
            yield progress


@contextmanager
def _terminal(stream: TextIO) -> Iterator[bool]:
    """Whether no other process draws on the terminal; none will inside. Where that cannot be known it is taken so."""
    try:
        import fcntl

        # Opened anew: a stream that was inherited shares its locks with the parent and its other children.
        terminal = os.open(os.ttyname(stream.fileno()), os.O_RDONLY | os.O_NOCTTY)
    except (ImportError, OSError):
        yield True
        return
    try:
        yield _is_free(lambda: fcntl.flock(terminal, fcntl.LOCK_EX | fcntl.LOCK_NB))
    finally:
        os.close(terminal)


def _is_free(lock: Callable[[], None]) -> bool:
    try:
        lock()
    except BlockingIOError:
        return False
    except OSError:  # a system without locks on terminals
        return True
    return True


BARS = Bars()

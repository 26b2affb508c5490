"""Ctrl-C, which a terminal sends to all processes of a command, and which one of them must handle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ignore_sigint() -> Iterator[None]:
    """Let child processes started here ignore Ctrl-C; the parent handles it and stops them.

    Only the main thread may set this; in any other nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

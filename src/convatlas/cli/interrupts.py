"""Ctrl-C, which ends the program with one line at any moment: while it starts, while modules load, and afterwards."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

STATUS = 130
"""Status of a program that Ctrl-C ended, as shells have it."""

AGAIN = 0.1
"""Seconds after which an interrupt that was lost is raised again."""


class _Interrupts:
    """State of the program's handler.

    Attributes:
        pressed: Whether Ctrl-C was pressed.
    """

    pressed = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise a KeyboardInterrupt; while a module loads, end at once: there it could be caught or lost."""
        self.pressed = True
        if _is_importing(frame):
            os.write(2, b"convatlas: stopped\n")
            os._exit(STATUS)
        raise KeyboardInterrupt


_INTERRUPTS = _Interrupts()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def install() -> None:
    """Handle Ctrl-C from now on; a parent that ignores it for this program is obeyed."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return
    signal.signal(signal.SIGINT, _INTERRUPTS.handle)
    sys.unraisablehook = _after_a_loss(sys.unraisablehook)


def check() -> None:
    """Raise a KeyboardInterrupt if an earlier one was caught by code that should not have."""
    if _INTERRUPTS.pressed:
        raise KeyboardInterrupt


def _after_a_loss(before: Any) -> Any:
    """Return a hook that raises interrupts again that came where Python ignores errors, as in a destructor."""

    def hook(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)
            return
        timer = threading.Timer(AGAIN, _interrupt_main)
        timer.daemon = True
        timer.start()

    return hook


def _interrupt_main() -> None:
    """Interrupt the main thread, also while it waits."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()

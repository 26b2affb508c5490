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

PAUSE = 0.1
"""Seconds after which an interrupt that Python ignored is raised again."""


class _Interrupts:
    """The handler of Ctrl-C, and its state.

    Attributes:
        pressed: Whether Ctrl-C was pressed.
    """

    pressed = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise a KeyboardInterrupt; while a module loads, where it could be lost, end the program at once."""
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
    """Handle Ctrl-C from now on, unless the parent process made this program ignore it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return
    signal.signal(signal.SIGINT, _INTERRUPTS.handle)
    sys.unraisablehook = _raising_again(sys.unraisablehook)


def raise_if_pressed() -> None:
    """Raise a KeyboardInterrupt if Ctrl-C was pressed: a library may have caught the one that was raised then."""
    if _INTERRUPTS.pressed:
        raise KeyboardInterrupt


def _raising_again(before: Any) -> Any:
    """Return a hook for errors that Python ignores, as in destructors: it raises a KeyboardInterrupt again."""

    def hook(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)
            return
        timer = threading.Timer(PAUSE, _interrupt_main)
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

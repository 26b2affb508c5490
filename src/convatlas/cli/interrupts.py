"""Ctrl-C, which ends the program with one line at any moment: while it starts, while modules load, and afterwards."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

STATUS = 130
"""Status of a program that Ctrl-C ended, as shells have it."""

PAUSE = 0.1
"""Seconds after which an interrupt is raised again if it was lost."""


class _Interrupts:
    """The handler of Ctrl-C, and its state.

    A KeyboardInterrupt can be lost: Python ignores one that arises in a destructor, and libraries catch it. So from the
    first one on it is raised again and again, except while the program ends because of it, until `end` is called.

    Attributes:
        pressed: Whether Ctrl-C was pressed.
        repeated: Whether the next signal is a repetition, and no key that was pressed.
        ended: Whether the interrupt arrived.
    """

    pressed = repeated = ended = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise a KeyboardInterrupt; while a module loads, where it could be lost, end the program at once."""
        repeated, self.repeated = self.repeated, False
        if repeated and (self.ended or _is_handled()):
            return
        if _is_importing(frame):
            os.write(2, b"convatlas: stopped\n")
            os._exit(STATUS)
        self.repeat()
        raise KeyboardInterrupt

    def repeat(self) -> None:
        """Raise the interrupt again, every `PAUSE`, until `end` is called."""
        if not self.pressed:
            self.pressed = True
            # `threading.Thread` takes locks, which the code that was interrupted may hold.
            _thread.start_new_thread(self._repeat, ())

    def end(self) -> None:
        """Raise no further interrupt: the program ends."""
        self.ended = True

    def _repeat(self) -> None:
        while True:
            time.sleep(PAUSE)
            if self.ended:
                return
            self.repeated = True
            _interrupt_main()


INTERRUPTS = _Interrupts()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _is_handled() -> bool:
    """Whether the code that was interrupted runs because of a KeyboardInterrupt, as in `finally`."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def install() -> None:
    """Handle Ctrl-C from now on, unless the parent process made this program ignore it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return
    signal.signal(signal.SIGINT, INTERRUPTS.handle)
    sys.unraisablehook = _repeating(sys.unraisablehook)


def raise_if_pressed() -> None:
    """Raise a KeyboardInterrupt if Ctrl-C was pressed: a library may catch each one that is raised in it."""
    if INTERRUPTS.pressed:
        raise KeyboardInterrupt


def _repeating(before: Any) -> Any:
    """Return a hook for errors that Python ignores, as in destructors: it raises a KeyboardInterrupt again."""

    def hook(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            INTERRUPTS.repeat()
        else:
            before(unraisable)

    return hook


def _interrupt_main() -> None:
    """Interrupt the main thread, also while it waits."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()

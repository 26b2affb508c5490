"""Silence Pillow's warnings and messages on standard error, in any number of threads."""

from __future__ import annotations

import ctypes
import logging
import threading
import warnings
from types import TracebackType
from typing import Any

from PIL import _imaging

# Without a handler, Python prints log messages on standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def _libtiff_setter() -> Any:
    """Return the C function that sets libtiff's error handler: libtiff writes to the file descriptor, past Python."""
    try:
        setter = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
    except (AttributeError, OSError):  # linked in statically, or built without TIFF
        return lambda handler: None
    setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
    return setter


class Quiet:
    """Context in which Pillow does not warn and libtiff does not print; other modules' warnings are unaffected.

    `warnings.catch_warnings` alone restores the wrong filters when threads leave it in another order than they entered.
    Here the first thread in sets the filter and the last one out removes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._set_libtiff = _libtiff_setter()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._libtiff = self._set_libtiff(None)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._set_libtiff(self._libtiff)
                self._filters.__exit__(kind, error, trace)


QUIET = Quiet()

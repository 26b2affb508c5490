"""Temporary files, locked while their process lives, so that those of killed processes can be removed."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nothing is removed
    fcntl = None  # type: ignore[assignment]

TEMPORARY_NAME = re.compile(r"\..+\.[0-9a-f]{16}")
"""Names of temporary files and folders."""


@contextmanager
def temporary(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Give the path of a temporary file or folder beside `path`; it is removed at the end if it is still there.

    Args:
        path: The file or folder that it is renamed to when it is complete.
        make: Creates an empty file or folder at a path; raises an OSError if there is one already.
    """
    while True:
        name = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        make(name)
        lock = _lock(name)
        # Before it was locked, another process may have removed it as a leftover.
        if name.exists():
            break
        _close(lock)
    try:
        yield name
    finally:
        _remove(name)
        _close(lock)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders in a folder whose processes have ended."""
    if fcntl is None:
        return
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if TEMPORARY_NAME.fullmatch(entry.name) and (lock := _lock(Path(entry.path))) is not None:
                _remove(Path(entry.path))
                _close(lock)


def _lock(path: Path) -> int | None:
    """Lock a file or folder; None if another process or thread has locked it, or the system has no such locks."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _close(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)

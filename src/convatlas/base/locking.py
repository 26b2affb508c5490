"""Lock files and folders, so that one thread or process at a time uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from convatlas.base.errors import ConvAtlasError, StoreError
from convatlas.base.files.leftovers import remove_leftovers
from convatlas.base.files.reading import reason


def unusable(path: Path, error: OSError) -> StoreError:
    """Return the error for a file or folder of the store that cannot be read or written."""
    # When renaming fails, the new name is the obstacle.
    obstacle = error.filename2 or error.filename or path
    return StoreError(f"{obstacle} cannot be used: {reason(error)}; CONVATLAS_HOME says where the store is")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, waiting for it as long as necessary.

    The lock is a hidden file beside `path`; if its process dies, it is free at once. It is not reentrant.

    Raises:
        StoreError: Files beside `path` cannot be written.
    """
    lock = _acquired(path, -1, unusable)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def locked_if_writable(path: Path) -> Iterator[bool]:
    """Hold the lock of `path` as `locked` does, and give True; give False, without a lock, in a read-only store."""
    lock: BaseFileLock | None = None
    with suppress(StoreError):
        lock = _acquired(path, -1, unusable)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def locked_or_error(
    path: Path, busy: ConvAtlasError, unwritable: Callable[[Path, OSError], ConvAtlasError]
) -> Iterator[None]:
    """Hold the lock of `path` as `locked` does, but raise an error at once if another thread or process holds it.

    Args:
        path: File or folder to lock.
        busy: The error to raise if the lock is held.
        unwritable: Makes the error to raise if files beside `path` cannot be written.
    """
    try:
        lock = _acquired(path, 0, unwritable)
    except Timeout:
        raise busy from None
    try:
        yield
    finally:
        lock.release()


def _acquired(path: Path, timeout: float, unwritable: Callable[[Path, OSError], ConvAtlasError]) -> BaseFileLock:
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=timeout)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:  # an OSError too
        raise
    except OSError as error:
        raise unwritable(path.parent, error) from None
    remove_leftovers(path.parent)
    return lock

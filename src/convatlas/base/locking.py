"""One process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from convatlas.base.errors import StoreError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, a hidden file beside it: no other thread or process that asks for it is inside.

    Waits as long as it takes; the lock of a process that dies is free at once. Whoever holds it must not ask again.

    Raises:
        StoreError: There is no writing beside `path`.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise unusable(path.parent, error) from None
    try:
        yield
    finally:
        lock.release()


def unusable(path: Path, error: OSError) -> StoreError:
    """The error for a file or folder of the store that the system refuses to read or write."""
    reason = error.strerror or str(error)
    # Of a renaming it is the new name that is in the way.
    where = error.filename2 or error.filename or path
    return StoreError(f"{where} cannot be used: {reason}; CONVATLAS_HOME says where the store is")

"""The store: published files, whole and verified, in one folder of this machine."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from convatlas.base.errors import StoreError
from convatlas.base.locking import locked, unusable
from convatlas.base.store.download import discard, download
from convatlas.base.store.progress import BARS, Tell
from convatlas.base.store.remote import Remote, home, offline, placed
from convatlas.base.store.verify import FRESH, difference, is_known, remember


def fetch(remote: Remote, folder: str = "downloads", quiet: bool = False) -> Path:
    """The file, whole and verified; downloaded if it is not in the store yet, once however many processes ask.

    The first file from an address whose whole hash is not published is trusted, and its sha256 is pinned: every later
    one from there must have it.

    Args:
        remote: What is asked for.
        folder: Where it is kept, below `home()`.
        quiet: Say nothing: neither progress (shown on terminals only) nor what was pinned.

    Raises:
        StoreError: It cannot be had, is not what was published, or cannot be kept.
    """
    path = placed(remote, folder)
    try:
        # Without the lock: a store that may only be read serves as well.
        if not _is_there(path, remote, quiet):
            _check_may_download(path, remote)
            with BARS.bar(remote.file, quiet) as tell, locked(path):
                # Another process may have been faster.
                if not _is_there(path, remote, quiet):
                    _fill(path, remote, quiet, tell)
    except OSError as error:
        raise unusable(path, error) from None
    return path


def _is_there(path: Path, remote: Remote, quiet: bool) -> bool:
    """Whether the store has the file; if something else is in its place, that is an error."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{path} is not an ordinary file; take it away")
    if not is_known(path, remote):
        if wrong := difference(path, remote, quiet):
            raise StoreError(f"{path} is not the file published at {remote.url}: {wrong}; take it away")
        remember(path, remote)
    return True


def _check_may_download(path: Path, remote: Remote) -> None:
    if offline():
        raise _failed(remote, path, "CONVATLAS_OFFLINE is set and forbids it; unset it")
    folder, inside = os.path.realpath(path.parent), os.path.realpath(home())
    if os.path.commonpath([folder, inside]) != inside:
        raise StoreError(f"{path.parent} is a link out of the store, to {folder}; CONVATLAS_HOME moves the store")


def _fill(path: Path, remote: Remote, quiet: bool, tell: Tell) -> None:
    """Downloads the file; it gets its name when it is whole, verified and on the disk."""
    part = path.with_name(f".{path.name}.part")
    while True:
        earlier = part.exists()
        try:
            download(remote.url, part, size=remote.size, checked=bool(remote.hash), tell=tell)
        except StoreError as error:
            raise _failed(remote, path, str(error)) from None
        wrong = difference(part, remote, quiet)
        if not wrong:
            break
        discard(part)
        # What an earlier call left may have been spoilt; what came in one piece is what the server has.
        if not earlier:
            raise _failed(remote, path, f"the server sends another file: {wrong}")
    with part.open("r+b") as file:
        os.fsync(file.fileno())
    # Old enough for any later change to be seen by its time.
    past = time.time_ns() - 2 * FRESH
    os.utime(part, ns=(past, past))
    os.replace(part, path)
    discard(part)
    remember(path, remote)


def _failed(remote: Remote, path: Path, reason: str) -> StoreError:
    return StoreError(f"cannot download {remote.url}: {reason}; or put the file by hand at {path}")

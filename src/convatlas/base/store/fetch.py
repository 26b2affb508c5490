"""Fetch a published file: from the store if it is there, otherwise from the network."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from convatlas.base.errors import StoreError
from convatlas.base.locking import locked, unusable
from convatlas.base.store.download import discard_partial, download
from convatlas.base.store.progress import BARS, ProgressCallback
from convatlas.base.store.remote import Remote, home, offline, path_of
from convatlas.base.store.sealed import backdate
from convatlas.base.store.verify import is_verified, mark_verified, mismatch


def fetch(remote: Remote, folder: str = "downloads", quiet: bool = False) -> Path:
    """Return the path of a published file, whole and verified; download it first if it is not in the store.

    If several processes or threads ask for it at once, one of them downloads it. If no whole hash is published, the
    first file from an address is trusted and its sha256 is pinned: later files from there must have the same.

    Args:
        remote: The file.
        folder: Folder of the store to keep it in, relative to `home()`.
        quiet: Print neither progress (shown on terminals only) nor a notice of what was pinned.

    Raises:
        StoreError: It cannot be downloaded, is not the published file, or cannot be stored.
    """
    path = path_of(remote, folder)
    try:
        # Without the lock, which a read-only store could not hold.
        if not _is_stored(path, remote, quiet):
            _check_may_download(path, remote)
            with BARS.bar(remote.file, quiet) as report, locked(path):
                # Another process may have been faster.
                if not _is_stored(path, remote, quiet):
                    _download(path, remote, quiet, report)
    except OSError as error:
        raise unusable(path, error) from None
    return path


def _is_stored(path: Path, remote: Remote, quiet: bool) -> bool:
    """Whether the store has the file.

    Raises:
        StoreError: Something else is stored under its name.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path} is not an ordinary file; delete it")
    if not is_verified(path, remote):
        if wrong := mismatch(path, remote, quiet):
            raise StoreError(f"{path} is not the file published at {remote.url}: {wrong}; delete it")
        mark_verified(path, remote)
    return True


def _check_may_download(path: Path, remote: Remote) -> None:
    if offline():
        raise _failed(remote, path, "CONVATLAS_OFFLINE forbids it; unset it")
    folder, inside = os.path.realpath(path.parent), os.path.realpath(home())
    if os.path.commonpath([folder, inside]) != inside:
        raise StoreError(f"{path.parent} is a link out of the store, to {folder}; CONVATLAS_HOME moves the store")


def _download(path: Path, remote: Remote, quiet: bool, report: ProgressCallback) -> None:
    """Download the file; it gets its name once it is whole, verified and on the disk."""
    part = path.with_name(f".{path.name}.part")
    while True:
        resumed = part.exists()
        try:
            download(remote.url, part, size=remote.size, hashed=bool(remote.hash), report=report)
        except StoreError as error:
            raise _failed(remote, path, str(error)) from None
        wrong = mismatch(part, remote, quiet)
        if not wrong:
            break
        discard_partial(part)
        # A resumed download may have a damaged beginning: it is tried again from the start.
        if not resumed:
            raise _failed(remote, path, f"the server sends another file: {wrong}")
    with part.open("r+b") as file:
        os.fsync(file.fileno())
    backdate(part)
    os.replace(part, path)
    discard_partial(part)
    mark_verified(path, remote)


def _failed(remote: Remote, path: Path, reason: str) -> StoreError:
    return StoreError(f"cannot download {remote.url}: {reason}; or save the file as {path} yourself")

"""Is a file the published one? Asked of all its bytes once, and again after any change."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from convatlas.base import atomic
from convatlas.base.errors import StoreError
from convatlas.base.locking import locked
from convatlas.base.store.progress import say
from convatlas.base.store.remote import Remote, home

FRESH = 2_000_000_000  # ns; the coarsest clock of a file system still in use (FAT)


def difference(path: Path, remote: Remote, quiet: bool) -> str:
    """What tells the file at `path` from the published one; "" if nothing does. All its bytes are read.

    The sha256 of a file whose whole hash is not published is pinned when it is first seen.

    Raises:
        StoreError: The pins cannot be read or written.
        OSError: The file cannot be read.
    """
    found = path.stat().st_size
    if remote.size is not None and found != remote.size:
        return f"it has {found:,} bytes, not {remote.size:,}"
    kind = {32: "md5", 40: "sha1"}.get(len(remote.hash), "sha256")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    if not digest.startswith(remote.hash.lower()):
        return f"its {kind} is {digest}, not {remote.hash}"
    if len(remote.hash) < 32:
        pinned = _pin(remote, digest, quiet)
        if pinned != digest:
            return f"its sha256 is {digest}, not {pinned} as on first use; if it is right, edit {home() / 'pins.json'}"
    return ""


def is_known(path: Path, remote: Remote) -> bool:
    """Whether the file was verified before and has not been touched since."""
    try:
        return bool(atomic.read_json(_mark(path)) == _state(path, remote))
    except (OSError, ValueError):
        return False


def remember(path: Path, remote: Remote) -> None:
    """Note that the file was verified as it is."""
    state = _state(path, remote)
    # A change within the same tick of the clock would leave the time as it is.
    if abs(time.time_ns() - path.stat().st_mtime_ns) > FRESH:
        # Where that cannot be written it is verified again.
        with suppress(OSError):
            atomic.write_bytes(_mark(path), json.dumps(state).encode())


def _state(path: Path, remote: Remote) -> dict[str, Any]:
    """What was verified, and all that a change of the file cannot leave as it is."""
    found = path.stat()
    return {
        "published": dataclasses.asdict(remote),
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "ctime_ns": found.st_ctime_ns,
        "inode": found.st_ino,
    }


def _mark(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _pin(remote: Remote, sha256: str, quiet: bool) -> str:
    """The sha256 that is pinned for the file's address; it is `sha256` from now on if there was none."""
    path = home() / "pins.json"
    pins = _pins(path)
    if remote.url not in pins:
        with locked(path):
            pins = _pins(path)
            if remote.url not in pins:
                pins[remote.url] = sha256
                atomic.write_bytes(path, json.dumps(pins, indent=1, sort_keys=True).encode())
                if not remote.hash and not quiet:
                    say(f"nobody publishes a hash of {remote.file}; its sha256 {sha256} is pinned in {path}")
    return pins[remote.url]


def _pins(path: Path) -> dict[str, str]:
    try:
        pins = atomic.read_json(path)
    except FileNotFoundError:
        return {}
    except ValueError:
        pins = None
    if not isinstance(pins, dict) or not all(isinstance(pin, str) for pin in pins.values()):
        raise StoreError(f"{path} is damaged: it must hold the sha256 of addresses as JSON; mend or delete it")
    return pins

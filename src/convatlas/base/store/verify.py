"""Verify that a file is the published one; its bytes are read once, and again only after the file has changed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import StoreError
from convatlas.base.files.structured import read_json
from convatlas.base.locking import locked_if_writable
from convatlas.base.store.progress import notify
from convatlas.base.store.remote import Remote, home
from convatlas.base.store.sealed import file_state, has_settled


def mismatch(path: Path, remote: Remote, quiet: bool) -> str:
    """Read a file and describe how it differs from the published one; "" if it does not.

    If no whole hash is published, the sha256 of the first file from an address is pinned, and compared from then on.

    Raises:
        StoreError: The pins cannot be read or written.
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"it has {size:,} bytes, not {remote.size:,}"
    kind = {32: "md5", 40: "sha1"}.get(len(remote.hash), "sha256")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    if not digest.startswith(remote.hash.lower()):
        return f"its {kind} is {digest}, not {remote.hash}"
    if len(remote.hash) < 32:
        pinned = _pin(remote, digest, quiet)
        if pinned != digest:
            return (
                f"its sha256 is {digest}, not {pinned} as on first use; if that is right, edit {home() / 'pins.json'}"
            )
    return ""


def is_verified(path: Path, remote: Remote) -> bool:
    """Whether the file was verified before and has not changed since."""
    try:
        return bool(read_json(_mark(path)) == _state(path, remote))
    except (OSError, ValueError):
        return False


def mark_verified(path: Path, remote: Remote) -> None:
    """Record that the file was verified in its present state."""
    state = _state(path, remote)
    if has_settled(path):
        # If this cannot be written, the file is verified again next time.
        with suppress(OSError):
            write_bytes(_mark(path), json.dumps(state).encode())


def _state(path: Path, remote: Remote) -> dict[str, Any]:
    """Return what was published, and the file's size, times and inode, of which any change of the file changes one."""
    return {"published": dataclasses.asdict(remote), **file_state(path)}


def _mark(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _pin(remote: Remote, sha256: str, quiet: bool) -> str:
    """Return the sha256 that is pinned for the file's address; pin `sha256` if there is none."""
    path = home() / "pins.json"
    pins = _pins(path)
    if remote.url not in pins:
        with locked_if_writable(path) as writable:
            if not writable:
                # In a read-only store nothing can be pinned: a file there is trusted each time.
                return sha256
            pins = _pins(path)
            if remote.url not in pins:
                pins[remote.url] = sha256
                write_bytes(path, json.dumps(pins, indent=1, sort_keys=True).encode())
                if not remote.hash and not quiet:
                    notify(f"no hash of {remote.file} is published; its sha256 {sha256} is pinned in {path}")
    return pins[remote.url]


def _pins(path: Path) -> dict[str, str]:
    try:
        pins = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError):
        pins = None
    if not isinstance(pins, dict) or not all(isinstance(pin, str) for pin in pins.values()):
        raise StoreError(f"{path} is damaged: it must be a JSON object from addresses to sha256; repair or delete it")
    return pins

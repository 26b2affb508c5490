"""Seal files that were made here with their hash, so that later damage is noticed.

The hash of JSON is in the file, that of any other file in a note beside it, `.NAME.sealed`. All bytes are hashed once,
and again only after the file has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from convatlas.base.atomic import write_bytes
from convatlas.base.files.structured import read_json

TICK = 2_000_000_000
"""Nanoseconds between two times that a file system can tell apart, at most (FAT)."""


def seal(path: Path) -> None:
    """Write the note with the hash of a file that was just written.

    Raises:
        OSError: The file cannot be read, or the note cannot be written.
    """
    digest = _sha256(path)
    backdate(path)
    _write_note(path, digest, file_state(path))


def sealed_hash(path: Path) -> str:
    """Return the sha256 in the note of a file; "" if there is no note, or the file has changed since."""
    try:
        note = read_json(_note(path))
        digest, before, now = str(note["sha256"]), note["state"], file_state(path)
        if before == now:
            return digest
        if before["size"] != now["size"] or _sha256(path) != digest:
            return ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    # The same bytes, but copied or touched.
    if has_settled(path):
        # If this cannot be written, the file is hashed again next time.
        with suppress(OSError):
            _write_note(path, digest, now)
    return digest


def discard_sealed(path: Path) -> None:
    """Delete a file and its note."""
    path.unlink(missing_ok=True)
    _note(path).unlink(missing_ok=True)


def file_state(path: Path) -> dict[str, int]:
    """Return the size, the times and the inode of a file; any change of the file changes at least one of them.

    Raises:
        OSError: There is no such file.
    """
    status = path.stat()
    return {
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }


def backdate(path: Path) -> None:
    """Give a file that was just written an old time, so that any later change of the file changes it."""
    past = time.time_ns() - 2 * TICK
    os.utime(path, ns=(past, past))


def has_settled(path: Path) -> bool:
    """Whether a change of the file from now on would change its time: not within the same tick of the clock."""
    return abs(time.time_ns() - path.stat().st_mtime_ns) > TICK


def write_sealed_json(path: Path, value: object) -> None:
    """Write JSON with its hash, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    plain = json.loads(json.dumps(value))
    write_bytes(path, json.dumps({"sha256": _hash(plain), "value": plain}, indent=1).encode())


def read_sealed_json(path: Path) -> Any:
    """Read what `write_sealed_json` wrote.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("sha256") != _hash(content.get("value")):
        raise ValueError("its content does not have the hash that it says")
    return content["value"]


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_note(path: Path, digest: str, state: dict[str, int]) -> None:
    write_bytes(_note(path), json.dumps({"sha256": digest, "state": state}).encode())


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.sealed")

"""Notice damage in files that were made here and are kept: all bytes are hashed once, and again after any change.

A file of its own format has a note beside it, which `seal` writes; JSON holds its hash itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from convatlas.base import atomic

FRESH = 2_000_000_000  # ns; ticks of the coarsest clock among file systems in use (FAT)


def seal(path: Path) -> None:
    """Note the hash of a file that was just written.

    Raises:
        OSError: The file cannot be read, or the note cannot be written.
    """
    digest = _sha256(path)
    # An old time, so that any later change of the file changes it.
    past = time.time_ns() - 2 * FRESH
    os.utime(path, ns=(past, past))
    atomic.write_bytes(_note(path), json.dumps({"sha256": digest, "state": state(path)}).encode())


def sealed_hash(path: Path) -> str:
    """Return the sha256 that was noted when a file was written; "" if it has none, or the file is not as it was."""
    try:
        note = atomic.read_json(_note(path))
        digest, before, now = str(note["sha256"]), note["state"], state(path)
        if before == now:
            return digest
        if before["size"] != now["size"] or _sha256(path) != digest:
            return ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    # The file was copied, or touched. A later change within the same tick of the clock would not change the time.
    if abs(time.time_ns() - path.stat().st_mtime_ns) > FRESH:
        # If this cannot be written, the file is hashed again next time.
        with suppress(OSError):
            atomic.write_bytes(_note(path), json.dumps({"sha256": digest, "state": now}).encode())
    return digest


def discard(path: Path) -> None:
    """Delete a file and its note."""
    path.unlink(missing_ok=True)
    _note(path).unlink(missing_ok=True)


def state(path: Path) -> dict[str, int]:
    """Facts about a file of which any change of the file changes one.

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


def write_json(path: Path, value: object) -> None:
    """Write JSON with its hash, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    plain = json.loads(json.dumps(value))
    atomic.write_bytes(path, json.dumps({"sha256": _hash(plain), "value": plain}, indent=1).encode())


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged.
    """
    content = atomic.read_json(path)
    if not isinstance(content, dict) or content.get("sha256") != _hash(content.get("value")):
        raise ValueError("its hash is another one")
    return content["value"]


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.sealed")

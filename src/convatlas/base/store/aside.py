"""Temporary folders that replace those of a store that cannot be written."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from threading import Lock

_ASIDE: dict[Path, Path] = {}
_LOCK = Lock()


def aside(path: Path) -> Path:
    """Return a temporary folder that replaces `path`, the same at every call; it is deleted when the program ends.

    Raises:
        OSError: Temporary files cannot be written either.
    """
    with _LOCK:
        if path not in _ASIDE:
            root = tempfile.mkdtemp(prefix="convatlas-")
            atexit.register(shutil.rmtree, root, ignore_errors=True)
            _ASIDE[path] = Path(root) / path.name
        return _ASIDE[path]


def in_use(path: Path) -> Path:
    """Return the folder that replaces `path` if there is one, otherwise `path`."""
    return _ASIDE.get(path, path)

"""Substitute temporary folders for those of a store that cannot be written."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from threading import Lock

_SUBSTITUTES: dict[Path, Path] = {}
_LOCK = Lock()


def substitute(path: Path) -> Path:
    """Return a temporary folder that replaces `path`, the same at every call; it is deleted when the program ends.

    Raises:
        OSError: Temporary files cannot be written either.
    """
    with _LOCK:
        if path not in _SUBSTITUTES:
            root = tempfile.mkdtemp(prefix="convatlas-")
            atexit.register(shutil.rmtree, root, ignore_errors=True)
            _SUBSTITUTES[path] = Path(root) / path.name
        return _SUBSTITUTES[path]


def folder_in_use(path: Path) -> Path:
    """Return the folder that replaces `path` if there is one, otherwise `path`."""
    return _SUBSTITUTES.get(path, path)

"""Paths of files on this machine, as users give them."""

from __future__ import annotations

import re
from pathlib import Path

from convatlas.base.errors import ConvAtlasError

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def local_path(name: str | Path, error: type[ConvAtlasError] = ConvAtlasError) -> Path:
    """Return a path; an address of the web is refused as it was typed, since `Path` would shorten its slashes.

    Raises:
        ConvAtlasError: It is an address; of the class `error`.
    """
    if isinstance(name, str) and ADDRESS.match(name):
        raise error(f"{name!r:.300} is an address, not a file on this machine: download it first")
    return Path(name)

"""Which photos a list of files and folders stands for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from convatlas.base.errors import ImageError

EXTENSIONS = (
    ".apng",
    ".avif",
    ".bmp",
    ".gif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".mpo",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)


def photos(paths: Iterable[str | Path]) -> list[Path]:
    """List the photos that `paths` stand for, in their order.

    A file stays as it is, whatever its name and even if it is missing: reading it will tell. A folder gives the files
    below it that end in one of `EXTENSIONS` (in any case), sorted; hidden files and folders, and linked folders, are
    left out.

    Raises:
        ImageError: a folder cannot be listed, or holds no photo.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        inside = below(path) if path.is_dir() else [path]
        if not inside:
            raise ImageError(f"{str(path)!r} holds no photo; files that end in {', '.join(EXTENSIONS)} are looked for")
        found += inside
    return found


def below(folder: Path) -> list[Path]:
    """The photos below a folder, as `photos` lists them; there may be none.

    Raises:
        ImageError: A folder cannot be listed.
    """
    return [folder / name for name in names_below(folder)]


def names_below(folder: Path) -> list[str]:
    """As `below`, but by the names that they have from the folder on, which take less memory where they are many."""
    found: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = "" if (part := os.path.relpath(parent, folder)) == os.curdir else part + os.sep
        found += [inside + name for name in files if not name.startswith(".") and name.lower().endswith(EXTENSIONS)]
    return sorted(found, key=lambda name: name.split(os.sep))


def _refuse(error: OSError) -> NoReturn:
    raise ImageError(f"{str(error.filename)!r} cannot be listed ({error.strerror})") from error

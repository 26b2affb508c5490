"""List the photos below folders, by their extensions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from convatlas.base.errors import ImageError, printable
from convatlas.base.files.local import local_path

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


def list_photos(paths: Iterable[str | Path]) -> list[Path]:
    """List the photos among `paths`, in their order, and those below the folders among them.

    A file is listed whatever its name, even if it is missing: reading it raises the error. A folder is replaced by the
    sorted files below it that end in one of `EXTENSIONS` (in any case), without hidden files, hidden folders and
    symbolic links to folders.

    Raises:
        ImageError: A folder cannot be listed, or holds no photo.
    """
    files: list[Path] = []
    for path in (local_path(path, ImageError) for path in paths):
        inside = photos_below(path) if path.is_dir() else [path]
        if not inside:
            raise no_photos(path)
        files += inside
    return files


def no_photos(folder: str | Path) -> ImageError:
    """Error for a folder without photos; it says what kinds of files are there instead."""
    kinds = Counter(os.path.splitext(name)[1].lower() for _, _, names in os.walk(folder) for name in names)
    most = ", ".join(f"{count:,} of {printable(kind)}" for kind, count in kinds.most_common(3) if kind)
    others = f" (its files are others: {most})" if most else ""
    return ImageError(
        f"{str(folder)!r} holds no photo{others}; it is searched for files that end in {', '.join(EXTENSIONS)}"
    )


def photos_below(folder: Path) -> list[Path]:
    """List the photos below a folder, as `list_photos` does; the list may be empty.

    Raises:
        ImageError: A folder cannot be listed.
    """
    return [folder / name for name in names_below(folder)]


def names_below(folder: Path) -> list[str]:
    """List the photos below a folder as relative paths; strings, which take less memory than `Path` objects."""
    names: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = "" if (part := os.path.relpath(parent, folder)) == os.curdir else part + os.sep
        names += [inside + name for name in files if not name.startswith(".") and name.lower().endswith(EXTENSIONS)]
    return sorted(names, key=lambda name: name.split(os.sep))


def _refuse(error: OSError) -> NoReturn:
    raise ImageError(f"{str(error.filename)!r} cannot be listed ({error.strerror})") from error

"""Which photos a job is about: those below a folder, or those that a manifest lists."""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from convatlas.base.errors import ImageError, printable
from convatlas.images.folders import EXTENSIONS, names_below


@dataclass(frozen=True)
class Listed:
    """Photos by their names: paths from `root` on, or absolute; undecodable bytes as `os.fsdecode` has them."""

    root: str
    names: list[str]

    def path(self, name: str) -> str:
        """Where a photo is."""
        return os.path.join(self.root, name)

    def spread(self, many: int) -> tuple[str, ...]:
        """The paths of up to so many of them, evenly spread."""
        step = max(1, len(self.names) // many)
        return tuple(self.path(name) for name in self.names[::step][:many])

    def described(self) -> dict[str, object]:
        """Which photos they are, by their names alone: the folder, how many, and a hash of the names in their order."""
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(os.fsencode(name) + b"\0")
        return {
            "root": os.fsencode(self.root).decode("utf-8", "backslashreplace"),
            "photos": len(self.names),
            "names": digest.hexdigest(),
        }


def listed(photos: str | Path) -> Listed:
    """The photos below a folder in the order of their names, or those of a manifest in its own.

    A manifest is a text file with a path on each line, or a .csv file with a column "path"; paths are relative to the
    manifest's folder, or absolute. Blank lines count for nothing, a photo that is listed twice counts twice.

    Raises:
        ImageError: There is no such folder or file, it lists nothing, it is no text, or no column is called "path".
    """
    if not isinstance(photos, str | Path):
        raise ImageError(f"photos are a folder or a manifest, told by its path; got {photos!r:.100}")
    path = Path(photos)
    if path.is_dir():
        names, root = names_below(path), path
        if not names:
            raise ImageError(
                f"{str(photos)!r} holds no photo; files that end in {', '.join(EXTENSIONS)} are looked for"
            )
    else:
        names, root = _lines(path), path.parent
        if not names:
            raise ImageError(f"the manifest {str(photos)!r} lists no photo")
    return Listed(os.path.realpath(root), names)


def _lines(manifest: Path) -> list[str]:
    try:
        data = manifest.read_bytes() if manifest.is_file() else None
    except OSError as error:
        raise ImageError(f"{str(manifest)!r} cannot be read ({error.strerror})") from None
    if data is None:
        raise ImageError(f"{str(manifest)!r} is neither a folder nor a manifest of photos")
    if b"\0" in data[:65536]:
        raise ImageError(f"{str(manifest)!r} is no manifest: a text with the path of a photo on each line, or .csv")
    # Not by `splitlines`, which ends lines at signs too that names may hold.
    lines = os.fsdecode(data.removeprefix(b"\xef\xbb\xbf")).split("\n")
    if manifest.suffix.lower() != ".csv":
        return [line.rstrip("\r") for line in lines if line.strip()]
    try:
        rows = [row for row in csv.reader((f"{line}\n" for line in lines), strict=True) if "".join(row).strip()]
    except csv.Error as error:
        raise ImageError(f"the manifest {str(manifest)!r} is damaged ({error})") from None
    if not rows:
        return []
    if "path" not in rows[0]:  # a guess would take labels for photos
        first = printable(", ".join(rows[0]))
        raise ImageError(f"the manifest {str(manifest)!r} has no column 'path'; its first row is {first!r}")
    column = rows[0].index("path")
    found = [row[column] if len(row) > column else "" for row in rows[1:]]
    if "" in found:
        raise ImageError(f"row {found.index('') + 1} of the manifest {str(manifest)!r} names no photo")
    return found

"""List the photos of a job: all below a folder, or those that a manifest file names."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from convatlas.base.errors import ImageError
from convatlas.base.files.csv_file import read_table
from convatlas.base.files.local import local_path
from convatlas.base.files.reading import MAX_TABLE, read_bytes, reason
from convatlas.images.folders import names_below, no_photos


@dataclass(frozen=True)
class Manifest:
    """The photos of a job.

    Attributes:
        root: The folder that relative names start from.
        names: Paths, relative or absolute, as `os.fsdecode` returns them.
    """

    root: str
    names: list[str]

    def sample(self, count: int) -> tuple[str, ...]:
        """Paths of up to `count` photos, evenly spread."""
        step = max(1, len(self.names) // count)
        return tuple(os.path.join(self.root, name) for name in self.names[::step][:count])

    def summary(self) -> dict[str, object]:
        """Describe the photos in plain values: the folder, their number, and a hash of their names in order."""
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(os.fsencode(name) + b"\0")
        return {
            "root": os.fsencode(self.root).decode("utf-8", "backslashreplace"),
            "photos": len(self.names),
            "names": digest.hexdigest(),
        }


def read_manifest(photos: str | Path) -> Manifest:
    """List the photos below a folder, sorted by name, or those of a manifest, in its order.

    A manifest is a text file with a path on each line, or a .csv or .tsv file with a column "path", separated by
    commas, semicolons or tabs; paths are relative to the manifest's folder, or absolute. Blank lines are skipped, a
    photo that is listed twice counts twice.

    Raises:
        ImageError: There is no such folder or file, it lists nothing, is not text, or has no column "path".
    """
    if not isinstance(photos, str | Path):
        raise ImageError(f"photos are given as the path of a folder or a manifest; got {photos!r:.100}")
    path = local_path(photos, ImageError)
    if path.is_dir():
        names, root = names_below(path), path
        if not names:
            raise no_photos(path)
    else:
        names, root = _lines(path), path.parent
        if not names:
            raise ImageError(f"the manifest {str(photos)!r} lists no photo")
    return Manifest(os.path.realpath(root), names)


def _lines(manifest: Path) -> list[str]:
    try:
        data = read_bytes(manifest, MAX_TABLE)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or error.errno == errno.EINVAL:
            raise ImageError(f"{str(manifest)!r} is neither a folder nor a manifest of photos") from None
        raise ImageError(f"{str(manifest)!r} cannot be read ({reason(error)})") from None
    if b"\0" in data[:65536]:
        raise ImageError(f"{str(manifest)!r} is not a manifest: a text file with a path on each line, or .csv")
    text = os.fsdecode(data.removeprefix(b"\xef\xbb\xbf"))
    if manifest.suffix.lower() not in (".csv", ".tsv"):
        # `splitlines` would also split at characters that names may contain.
        return [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if not text.strip():
        return []
    names = []
    # Names are kept as they are; guessing their column could take labels for photos.
    for line, row in read_table(text, f"the manifest {str(manifest)!r}", ("path",), None, trim=False):
        if not row["path"]:
            raise ImageError(f"line {line} of the manifest {str(manifest)!r} names no photo")
        names.append(row["path"])
    return names

"""List the photos that a caller gives as one photo, a folder, or a list of both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from convatlas.base.errors import ImageError
from convatlas.images.decoding import Source
from convatlas.images.folders import list_photos


def is_collection(photos: Source | Sequence[Source]) -> bool:
    """Whether `photos` is a list, a tuple or a folder; anything else is one photo."""
    return isinstance(photos, list | tuple) or (isinstance(photos, str | Path) and Path(photos).is_dir())


def sources(source: Source | Sequence[Source]) -> list[Source]:
    """List the photos of `source`: a folder is replaced by the photos below it, everything else is kept.

    Raises:
        ImageError: A folder cannot be listed, or holds no photo.
    """
    entries: Sequence[Source] = source if isinstance(source, list | tuple) else [source]  # type: ignore[list-item]
    result: list[Source] = []
    for entry in entries:
        result += list_photos([entry]) if isinstance(entry, str | Path) else [entry]
    return result


def check_any_exists(photos: Sequence[Source]) -> None:
    """Check that at least one of several photos exists, if all are paths.

    Raises:
        ImageError: None of them exists; the first is named.
    """
    missing = [photo for photo in photos if isinstance(photo, str | Path) and _is_missing(photo)]
    if missing and len(missing) == len(photos):
        others = f", and neither do the others ({len(missing) - 1})" if len(missing) > 1 else ""
        raise ImageError(f"{str(missing[0])!r} does not exist{others}")


def _is_missing(path: str | Path) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    # Other errors are explained when the photo is read.
    except (OSError, ValueError):
        pass
    return False


def source_name(source: Source) -> str:
    """Name of a photo in records: its path, or the type of the object."""
    return str(source) if isinstance(source, str | Path) else type(source).__name__

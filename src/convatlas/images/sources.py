"""List the photos that a caller gives as one photo, a folder, or a list of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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


def source_name(source: Source) -> str:
    """Name of a photo in records: its path, or the type of the object."""
    return str(source) if isinstance(source, str | Path) else type(source).__name__

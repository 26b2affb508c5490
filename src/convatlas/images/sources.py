"""One photo or many: what a caller may give where photos are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convatlas.images.decoding import Source
from convatlas.images.folders import photos


def stands_for_many(photos: Source | Sequence[Source]) -> bool:
    """Whether it is a list, a tuple or a folder; anything else is one photo."""
    return isinstance(photos, list | tuple) or (isinstance(photos, str | Path) and Path(photos).is_dir())


def sources(given: Source | Sequence[Source]) -> list[Source]:
    """The photos that `given` stands for: files below each folder, all else as it is; ImageError as in `photos`."""
    many: Sequence[Source] = given if isinstance(given, list | tuple) else [given]  # type: ignore[list-item]
    found: list[Source] = []
    for one in many:
        found += photos([one]) if isinstance(one, str | Path) else [one]
    return found


def name(source: Source) -> str:
    """What a record calls a photo: its path, or the type it came as."""
    return str(source) if isinstance(source, str | Path) else type(source).__name__

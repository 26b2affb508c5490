"""One photo or many: what a caller may give where photos are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

from convatlas.images.decoding import Source
from convatlas.images.folders import photos


def is_many(photo: Source | Sequence[Source]) -> TypeGuard[Sequence[Source]]:
    """Whether it is a list or tuple of photos (a folder is one thing that stands for many)."""
    return isinstance(photo, list | tuple)


def sources(many: Sequence[Source]) -> list[Source]:
    """The photos that `many` stand for: files below each folder, all else as it is; ImageError as in `photos`."""
    found: list[Source] = []
    for one in many:
        found += photos([one]) if isinstance(one, str | Path) else [one]
    return found


def name(source: Source) -> str:
    """What a record calls a photo: its path, or the type it came as."""
    return str(source) if isinstance(source, str | Path) else type(source).__name__

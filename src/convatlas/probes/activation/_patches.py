"""Patches: the part of a photo that a unit of a layer sees, for the units of a folder of photos that rank first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.base.terminal.arguments import spelled
from convatlas.probes.checks import check_whole
from convatlas.probes.gallery.gallery import Exhibit
from convatlas.probes.photos import shown
from convatlas.probes.placement import UnitField
from convatlas.probes.subject import Subject

LARGEST = 0.5
"""Longest side of a patch, as a share of the photo's: of larger fields the middle is shown, where they see most."""


@dataclass(frozen=True)
class Place:
    """A unit's place: number of the photo, row and column of the map, and its value there."""

    photo: int
    row: int
    column: int
    value: float


def photos_of(subject: Subject, probe: str) -> tuple[Tensor, tuple[str, ...]]:
    """The photos to search, (n, C, h, w), of which the first is the subject's, and a note if there is no other."""
    photos = subject.concepts.get("photos")
    if photos is None:
        more = spelled('concepts={"photos": [...]}', "--concepts photos=FOLDER")
        return subject.x, (f"only the photo itself is searched: pass {more} to {probe}",)
    return torch.cat([subject.x, photos]), ()


def best_places(values: Tensor, count: int) -> list[Place]:
    """The places where maps (n, h, w) are largest, from the largest down, one for each photo with a positive value.

    If none is positive, the largest is taken all the same.
    """
    flat, cells = values.flatten(1).max(1)
    order = torch.argsort(flat, descending=True, stable=True)[:count].tolist()
    order = [n for n in order if flat[n] > 0] or order[:1]
    columns = values.shape[2]
    return [Place(n, int(cells[n]) // columns, int(cells[n]) % columns, float(flat[n])) for n in order]


def cut(subject: Subject, photo: Tensor, field: UnitField, place: Place) -> tuple[Tensor, bool]:
    """The patch (C, h, w) that a unit sees of a photo (C, H, W), and whether it sees more than that."""
    spans: list[tuple[int, int]] = []
    larger = False
    for (first, last), side in zip(field(place.row, place.column), subject.size, strict=True):
        length, most = last - first + 1, max(1, int(LARGEST * side))
        if length > most:
            larger = True
            cell = place.row if not spans else place.column
            centre = field.centre(cell, len(spans))
            first = min(max(round(centre - most / 2), 0), side - most)
            last = first + most - 1
        spans.append((max(first, 0), min(last, side - 1)))
    (top, bottom), (left, right) = spans
    return photo[:, top : bottom + 1, left : right + 1], larger


def check_counts(channels: int, patches: int) -> None:
    """Refuse numbers of channels and patches that cannot be shown."""
    check_whole("channels", channels, 1, 64)
    check_whole("patches", patches, 1, 64)


def chosen(channel: int | None, ranking: Tensor, count: int, layer: str) -> list[int]:
    """Numbers of the channels to show: the one asked for, or those that rank first.

    Raises:
        ConvAtlasError: There is no such channel.
    """
    if channel is None:
        return torch.argsort(ranking, descending=True, stable=True)[:count].tolist()
    if not isinstance(channel, int) or isinstance(channel, bool) or not 0 <= channel < len(ranking):
        raise ConvAtlasError(f"{layer} has channels 0 to {len(ranking) - 1}; got {channel!r:.40}")
    return [channel]


def patches_of(
    subject: Subject, photos: Tensor, layer: str, maps: Tensor, channels: Sequence[int], count: int, value: str
) -> tuple[list[Exhibit], tuple[str, ...]]:
    """Pictures of the patches of each channel, row by row, and what a reader has to know.

    Args:
        subject: The subject.
        photos: The photos, (n, C, H, W).
        layer: Name of the layer.
        maps: What ranks the patches, (n, K, h, w).
        channels: Numbers of the channels.
        count: Patches of each.
        value: What the values are, in a word.
    """
    field = UnitField(subject.net, tuple(subject.x.shape[1:]), layer, (maps.shape[2], maps.shape[3]))
    exhibits, cropped = [], False
    for channel in channels:
        for number, place in enumerate(best_places(maps[:, channel], count)):
            patch, larger = cut(subject, photos[place.photo], field, place)
            cropped = cropped or larger
            source = "the photo" if place.photo == 0 else f"photo {place.photo}"
            exhibits.append(
                Exhibit(
                    f"channel {channel}, {number + 1}",
                    shown(patch, subject.net),
                    f"{value} {place.value:.3g} in {source}",
                    f"Channel {channel} of {layer}",
                    {"value": place.value, "photo": place.photo, "row": place.row, "column": place.column},
                )
            )
    notes = ("units of this layer see more of a photo than half: the middle of what they see is shown",)
    return exhibits, notes if cropped else ()


def batches(photos: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    """Number of the first photo, and photos, a few at a time: their tapes hold all layers."""
    for start in range(0, len(photos), size):
        yield start, photos[start : start + size]

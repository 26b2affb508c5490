"""Pictures of attributions: the map over the photo, with its scale and what a reader has to know."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ConvAtlasError
from convatlas.pictures.picture import Picture
from convatlas.pictures.pixels import diverging, png
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Image, Shape, Text
from convatlas.pictures.text import wrapped

Floats = NDArray[np.floating[Any]]


class Mapped(Protocol):
    """A map with its photo, as `Attribution` describes them."""

    @property
    def probe(self) -> str: ...
    @property
    def layer(self) -> str | None: ...
    @property
    def target(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def residual(self) -> float | None: ...
    @property
    def image_recovery(self) -> bool: ...
    @property
    def view(self) -> object: ...
    @property
    def photo(self) -> NDArray[np.uint8] | None: ...
    @property
    def shown(self) -> NDArray[np.uint8] | None: ...
    @property
    def map(self) -> Floats: ...
    def on_photo(self, native: bool = False) -> Floats: ...
    def on_input(self, native: bool = False) -> Floats: ...


SIDE, MARGIN, HEAD, FOOT = 260.0, 16.0, 46.0, 74.0
"""Longer side of a photo in a picture, the gap between photos, and the space above and below each."""

COLUMNS = 4
"""Photos in a row of a sheet."""

RECOVERY = "recovers the image rather than explains the net"
"""Note on probes that do."""

UNSEEN = 128.0
"""Grey of what the net did not see."""

PERCENTILE = 99.5
"""Percentile of the absolute values that gets the full colour, so that single pixels do not leave all others pale."""


def picture_of(attribution: Mapped, opacity: float = 0.65, native: bool = False, limit: float | None = None) -> Picture:
    """Draw the map of an attribution over its photo: red speaks for the target, blue against it.

    Args:
        attribution: The attribution.
        opacity: How much the strongest colours hide the photo, 0 to 1; weaker ones hide it less.
        native: Whether the layer's own cells are drawn, without interpolation.
        limit: Value of the full colour; by default the 99.5th percentile of the absolute values.
    """
    return sheet([attribution], opacity, native, limit)


def sheet(
    attributions: Sequence[Mapped], opacity: float = 0.65, native: bool = False, limit: float | None = None
) -> Picture:
    """Draw several attributions side by side; maps of the same probe and layer have the same scale.

    Raises:
        ConvAtlasError: The opacity is not from 0 to 1.
    """
    check_opacity(opacity)
    limits: dict[tuple[str, str | None], float] = {}
    for each in attributions:
        key = each.probe, each.layer
        limits[key] = max(limits.get(key, 0.0), _limit(each.map) if limit is None else limit)
    first = _backdrop(attributions[0])
    scale = SIDE / max(first.shape[:2])
    width, height = first.shape[1] * scale, first.shape[0] * scale
    cell = max(width, 220.0) + MARGIN
    columns = min(COLUMNS, len(attributions))
    shapes: list[Shape] = []
    for number, each in enumerate(attributions):
        x, y = MARGIN + number % columns * cell, MARGIN + number // columns * (HEAD + height + FOOT)
        shapes += _cell(each, x, y, width, height, cell - MARGIN, limits[each.probe, each.layer], opacity, native)
    rows = -(-len(attributions) // columns)
    total = MARGIN + columns * cell, MARGIN + rows * (HEAD + height + FOOT)
    title = ", ".join(dict.fromkeys(each.probe for each in attributions))
    title += ": " + ", ".join(dict.fromkeys(each.target for each in attributions))
    description = " ".join(f"{each}. {' '.join(each.notes)}" for each in attributions)
    return Picture(*total, (Box(0, 0, *total, PAPER), *shapes), title, description)


def overlay(
    attribution: Mapped, opacity: float = 0.65, native: bool = False, limit: float | None = None
) -> NDArray[np.uint8]:
    """Return the photo with the map over it, (H, W, 3), uint8; what the net did not see is grey.

    The input stands for the photo if it was given itself.

    Raises:
        ConvAtlasError: The opacity is not from 0 to 1.
    """
    check_opacity(opacity)
    back = _backdrop(attribution).astype(np.float64)
    values = attribution.on_photo(native) if attribution.view is not None else attribution.on_input(native)
    unseen = np.isnan(values)
    limit = _limit(attribution.map) if limit is None else limit
    numbers = np.nan_to_num(values).astype(np.float64)
    share = np.clip(numbers / limit, -1, 1) if limit > 0 else np.zeros_like(numbers)
    grey = back.mean(2, keepdims=True)
    strength = opacity * np.sqrt(np.abs(share))[..., None]
    mixed = (1 - strength) * grey + strength * diverging(share)
    mixed[unseen] = 0.35 * back[unseen].mean(1, keepdims=True) + 0.65 * UNSEEN
    pixels: NDArray[np.uint8] = np.rint(mixed).clip(0, 255).astype(np.uint8)
    return pixels


def check_opacity(opacity: object) -> None:
    """Refuse an opacity that is not from 0 to 1.

    Raises:
        ConvAtlasError: It is none.
    """
    number = isinstance(opacity, Real) and not isinstance(opacity, bool)
    if not (number and 0 <= float(opacity) <= 1):  # type: ignore[arg-type]
        raise ConvAtlasError(f"an opacity is a number from 0 to 1; got {opacity!r:.40}")


def _backdrop(attribution: Mapped) -> NDArray[np.uint8]:
    backdrop = attribution.photo if attribution.view is not None else attribution.shown
    assert backdrop is not None
    return backdrop


def _limit(values: Floats) -> float:
    """Value of the full colour."""
    sizes = np.abs(values)
    high = float(np.percentile(sizes, PERCENTILE))
    return high if high > 0 else float(sizes.max())


def _cell(
    each: Mapped,
    x: float,
    y: float,
    width: float,
    height: float,
    space: float,
    limit: float,
    opacity: float,
    native: bool,
) -> list[Shape]:
    """Shapes of one map with its heading, its scale and its notes."""
    pixels = overlay(each, opacity, native, limit)
    where = f" at {each.layer}" if each.layer else ""
    lines = [
        Text(x, y + 14, each.probe, 13, bold=True),
        *(
            Text(x, y + 28 + 12 * number, line, 10, fill=GREY)
            for number, line in enumerate(wrapped(f"{each.target} {each.score:.3g}{where}", space, 10)[:2])
        ),
    ]
    top = y + HEAD
    bar = top + height + 8
    ramp = diverging(np.linspace(-1, 1, 101)[None].repeat(1, 0))
    scale: list[Shape] = [
        Image(x, bar, 120, 7, png(ramp)),
        Text(x, bar + 18, f"{-limit:.2g}", 9, fill=GREY),
        Text(x + 120, bar + 18, f"{limit:.2g}", 9, anchor="end", fill=GREY),
    ]
    remarks = [*each.notes]
    if each.residual is not None:
        remarks.append(f"complete to {each.residual:.0e}")
    if each.image_recovery:
        remarks.append(RECOVERY)
    notes = wrapped("; ".join(remarks), space, 9)[:3] if remarks else []
    texts = [Text(x, bar + 31 + 11 * number, line, 9, fill=INK) for number, line in enumerate(notes)]
    return [*lines, Image(x, top, width, height, png(pixels)), *scale, *texts]

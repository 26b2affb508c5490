"""Maps of a layer for the photos of concepts, and pictures of where on a photo they are large."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.probes.attribution import Grid, interpolated
from convatlas.probes.layers import layer_named
from convatlas.probes.photos import shown
from convatlas.probes.placement import layer_grid
from convatlas.probes.subject import Subject

Values = NDArray[np.floating[Any]]

TOGETHER = 4
"""Photos whose tape is in memory at a time."""


def maps_of(subject: Subject, photos: Tensor) -> Iterator[tuple[int, str, Tensor]]:
    """Photos done, the name of the chosen layer, and its maps (n, K, h, w) of the next few photos (N, C, H, W)."""
    together = min(TOGETHER, subject.batch)
    for start in range(0, len(photos), together):
        tape = subject.tape_of(photos[start : start + together])
        name, index = layer_named(tape, subject.layer)
        yield min(start + together, len(photos)), name, tape.values[index]


class Spread:
    """Maps of a layer at each pixel of the net's input, linearly between the centres of its fields."""

    def __init__(self, subject: Subject, layer: str, cells: tuple[int, int]):
        grid = layer_grid(subject.net, tuple(subject.x.shape[1:]), layer, cells)
        self.rows, self.columns = (_weights(axis, side) for axis, side in zip(grid, subject.size, strict=True))

    def __call__(self, values: Values) -> Values:
        """Spread maps (..., h, w) over the input, (..., H, W)."""
        return self.rows @ values @ self.columns.T


def _weights(axis: Grid, side: int) -> Values:
    """Weights (H, h) of the cells of an axis at each pixel."""
    cells, places = np.arange(axis.cells) + 0.5, np.arange(side) + 0.5
    return interpolated(np.eye(axis.cells), (axis, Grid(axis.cells, 0.5, 1.0)), places, cells)


def lit(photo: Tensor, net: nn.Module, light: Values) -> NDArray[np.uint8]:
    """A photo (C, H, W) as pixels, in full light where `light` (H, W) is 1, dark and grey where it is 0."""
    pixels = shown(photo, net).astype(np.float64)
    dark = 0.25 * pixels.mean(2, keepdims=True) + 12
    share = np.clip(light, 0, 1)[:, :, None]
    result: NDArray[np.uint8] = np.rint(share * pixels + (1 - share) * dark).clip(0, 255).astype(np.uint8)
    return result


def rising(values: Values, largest: float | None = None) -> Values:
    """A map that is not negative as a share of its largest value, or of the one that is stated."""
    top = float(values.max()) if largest is None else largest
    return np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)


def non_negative(maps: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Maps without their negative values, and a note if there were some."""
    if bool((maps < 0).any()):
        return maps.clamp(min=0), ("the layer's negative values are left out: better take one behind a ReLU",)
    return maps, ()


def rows_of(maps: Tensor) -> Tensor:
    """Maps (n, K, h, w) as one row of channels for each place, (n h w, K)."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def photos_and_own(subject: Subject) -> Tensor:
    """The subject's photo, and those that the caller gave to search, (n, C, h, w)."""
    photos = subject.concepts.get("photos")
    return subject.x if photos is None else torch.cat([subject.x, photos])

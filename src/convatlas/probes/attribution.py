"""An attribution: the map that a probe made, with all that is needed to judge and to repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from convatlas.base.errors import ConvAtlasError
from convatlas.base.files.arrays import reading_arrays, write_arrays
from convatlas.base.records import Record
from convatlas.images.view import Axis, View
from convatlas.pictures.picture import Picture
from convatlas.probes.picture import picture_of

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Grid:
    """Where the cells of a map lie on the net's input, along one axis.

    Attributes:
        cells: Number of cells.
        start: Centre of the first cell in pixels of the input, from its edge.
        stride: Pixels from one centre to the next.
    """

    cells: int
    start: float
    stride: float


@dataclass(frozen=True, kw_only=True)
class Attribution(Record):
    """A map of what in a photo speaks for and against a score.

    Attributes:
        probe: Name of the probe.
        settings: Its settings.
        net: Name of the net, or its class.
        weights: Name of its weights; "" if they are the user's own.
        target: The score that is explained, in words.
        index: The class that it is about; None if it is about no single class.
        score: The score of the photo.
        background: The background, in words, and its score if the probe used it.
        background_score: Score of the background; None if the probe did not ask for it.
        layer: Name of the layer at which it explains; None for the net's input.
        values: The raw signed map, (C, h, w) or (h, w), on the grid of the layer.
        reduction: How channels become one map: "sum", "largest" (of the absolute values) or "norm".
        grid: Where the rows and columns of the map lie on the net's input.
        size: Height and width of the net's input.
        seed: Seed of everything random.
        forwards: Inputs that went through the net for this map.
        backwards: Inputs for which gradients or relevance went back.
        residual: Distance from completeness, relative to max(|f(x)|, |f(b)|); None for probes that promise none.
        ledger: What was absorbed on the way back, by kind.
        condition: Largest sum of |relevance| at any operation, relative to what is explained; None if not defined.
        standard_error: Standard error of each value; None for probes that do not sample.
        coverage: How many operations of each name were passed; empty for black-box probes.
        derivative: Relative difference of the net's gradient from its derivative; None for black-box probes.
        engine: What computed the scores.
        precision: Precision of the computation.
        agreement: Measured agreement with float32, if the precision is below that.
        notes: Sentences that a reader of the map has to know.
        image_recovery: Whether the probe recovers the image rather than explains the net.
        view: Which part of the photo the input shows; None if the input was given itself.
        photo: The photo, (H, W, 3), uint8; None if the input was given itself.
        shown: The input as pixels, (h, w, 3), uint8.
    """

    probe: str
    settings: Mapping[str, Any]
    net: str
    weights: str
    target: str
    index: int | None
    score: float
    background: str
    background_score: float | None
    layer: str | None
    values: Floats = field(repr=False, compare=False)
    reduction: str
    grid: tuple[Grid, Grid] = field(repr=False)
    size: tuple[int, int]
    seed: int
    forwards: int
    backwards: int
    residual: float | None
    ledger: Mapping[str, float]
    condition: float | None
    standard_error: Floats | None = field(default=None, repr=False, compare=False)
    coverage: Mapping[str, int] = field(default_factory=dict, repr=False)
    derivative: float | None = None
    engine: str = "eager"
    precision: str = "float32"
    agreement: float | None = None
    notes: tuple[str, ...] = ()
    image_recovery: bool = False
    view: View | None = field(default=None, repr=False)
    photo: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    shown: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)

    @property
    def map(self) -> Floats:
        """The map as one number for each cell, (h, w), signed unless the reduction takes absolute values."""
        if self.values.ndim == 2:
            return self.values
        reduce = {"largest": lambda v: np.abs(v).max(0), "norm": lambda v: np.sqrt(np.square(v).sum(0))}
        reduced: Floats = reduce.get(self.reduction, lambda v: v.sum(0))(self.values)
        return reduced

    def on_input(self, native: bool = False) -> Floats:
        """The map at each pixel of the net's input, (h, w).

        Args:
            native: Whether each pixel has the value of the nearest cell; by default it is interpolated between them.
        """
        rows, columns = ((np.arange(side) + 0.5) for side in self.size)
        return interpolated(self.map, self.grid, rows, columns, native)

    def on_photo(self, native: bool = False) -> Floats:
        """The map at each pixel of the photo, (H, W); NaN where the net did not see the photo.

        Args:
            native: As for `on_input`.

        Raises:
            ConvAtlasError: The net's input was given itself, so that no photo is known.
        """
        if self.view is None or self.photo is None:
            raise ConvAtlasError("the net's input was given itself: which photo it shows is unknown, see `on_input`")
        height, width = self.photo.shape[:2]
        rows, columns = self.view.to_input(np.arange(height) + 0.5, np.arange(width) + 0.5)
        result = interpolated(self.map, self.grid, rows, columns, native)
        y1, y2 = self.view.rows.shown
        x1, x2 = self.view.columns.shown
        visible = ((rows >= y1) & (rows < y2))[:, None] & ((columns >= x1) & (columns < x2))[None, :]
        return np.where(visible, result, np.nan)

    def picture(self, opacity: float = 0.65, native: bool = False) -> Picture:
        """Draw the map over the photo, red for the target and blue against it; see `probes.picture.picture_of`."""
        return picture_of(self, opacity, native)

    def _repr_svg_(self) -> str:
        return self.picture().svg()

    def save(self, path: str | Path) -> Path:
        """Write the attribution to an .npz file, its record in it as JSON, and return the path.

        Raises:
            ConvAtlasError: The name ends in something else, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            raise ConvAtlasError(f"an attribution is written to an .npz file; got {path.name!r}")
        arrays = {name: getattr(self, name) for name in ARRAYS if getattr(self, name) is not None}
        return write_arrays(path, self.to_json(), arrays)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an attribution that `save` wrote.

        Raises:
            ConvAtlasError: The file cannot be read, or is no such file.
        """
        with reading_arrays(path, "attribution") as (data, arrays):
            kept: dict[str, Any] = {name: arrays[name] for name in ARRAYS if name in arrays}
            result = cls(**_fields(cls, data), **kept)
            _check_shapes(result)
            return result

    def to_json(self) -> str:
        """Return the record as JSON, without the arrays."""
        plain = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in (*ARRAYS, "view", "grid", "made")
        }
        plain |= {"grid": [asdict(axis) for axis in self.grid], "made": asdict(self.made)}
        plain["view"] = None if self.view is None else asdict(self.view)
        return json.dumps(plain, default=str, ensure_ascii=False)

    def __str__(self) -> str:
        where = f" at {self.layer}" if self.layer else ""
        return f"{self.probe} of {self.net}{where}: {self.target}, score {self.score:.4g}"


ARRAYS = ("values", "standard_error", "photo", "shown")
"""Fields that are arrays."""


def _fields(cls: type[Attribution], data: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments from the JSON of `to_json`."""
    names = {each.name for each in fields(cls)} - {*ARRAYS, "made"}
    data.pop("made", None)
    if set(data) != names:
        raise ValueError
    view = data["view"]
    data["view"] = None if view is None else View(Axis(**view["rows"]), Axis(**view["columns"]))
    data["grid"] = tuple(Grid(**axis) for axis in data["grid"])
    data["size"], data["notes"] = tuple(data["size"]), tuple(data["notes"])
    return data


def _check_shapes(read: Attribution) -> None:
    """Refuse a record without its numbers, and arrays that do not belong together.

    Raises:
        ValueError: They are such.
    """
    numbers = [read.score, *read.size, *(each for axis in read.grid for each in (axis.cells, axis.start, axis.stride))]
    plain = all(isinstance(each, (int, float)) for each in numbers)
    cells = tuple(axis.cells for axis in read.grid)
    maps = [read.values] if read.standard_error is None else [read.values, read.standard_error]
    fitting = all(each.dtype.kind == "f" and each.ndim in (2, 3) and each.shape[-2:] == cells for each in maps)
    photos = [each for each in (read.photo, read.shown) if each is not None]
    pixels = all(each.dtype == np.uint8 and each.ndim == 3 and each.shape[2] == 3 for each in photos)
    if not (plain and fitting and pixels and len(read.size) == 2):
        raise ValueError


def interpolated(
    values: Floats, grid: tuple[Grid, Grid], rows: Floats, columns: Floats, native: bool = False
) -> Floats:
    """A map between the centres of its cells, linearly; beyond the outermost centres it stays constant."""
    y, x = (
        np.clip((position - axis.start) / axis.stride if axis.stride else np.zeros_like(position), 0, axis.cells - 1)
        for position, axis in zip((rows, columns), grid, strict=True)
    )
    if native:
        y, x = np.rint(y), np.rint(x)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    bottom, right = np.minimum(top + 1, grid[0].cells - 1), np.minimum(left + 1, grid[1].cells - 1)
    down, across = (y - top)[:, None], (x - left)[None, :]
    upper = values[top][:, left] * (1 - across) + values[top][:, right] * across
    lower = values[bottom][:, left] * (1 - across) + values[bottom][:, right] * across
    result: Floats = upper * (1 - down) + lower * down
    return result

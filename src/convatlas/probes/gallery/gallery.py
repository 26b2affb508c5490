"""A gallery: the pictures that a probe made where a map of the photo would not show it."""

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
from convatlas.base.terminal.brief import Brief
from convatlas.pictures.picture import Picture
from convatlas.probes.gallery.sheet import Tile, sheet

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Exhibit(Brief):
    """A picture of a gallery.

    Attributes:
        name: Its name, which no other picture of the gallery has.
        pixels: The picture, (h, w, 3), uint8.
        caption: One line that says what it shows.
        row: Heading of the row of the sheet that it stands in, with the others of the same row.
        numbers: Numbers that belong to it, by name.
    """

    name: str
    pixels: Pixels = field(repr=False, compare=False)
    caption: str = ""
    row: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Exhibition:
    """What a probe of pictures yields for one target; `explain` makes a `Gallery` of it.

    Attributes:
        exhibits: The pictures.
        layer: Name of the layer that they are about; None for the net's output.
        numbers: Numbers about all of them, by name.
        arrays: Raw results by name, such as the inputs that were optimised.
        notes: Sentences that a reader of the pictures has to know.
    """

    exhibits: tuple[Exhibit, ...]
    layer: str | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Gallery(Record):
    """Pictures of what a net, a layer or a unit responds to, with all that is needed to judge and to repeat them.

    Attributes:
        probe: Name of the probe.
        settings: Its settings.
        net: Name of the net, or its class.
        weights: Name of its weights; "" if they are the user's own.
        target: The score that the pictures are about, in words.
        index: The class that it is about; None if it is about no single class.
        layer: Name of the layer that they are about; None for the net's output.
        exhibits: The pictures, in the order of the sheet.
        numbers: Numbers about all of them, by name.
        arrays: Raw results by name, such as the inputs that were optimised.
        seed: Seed of everything random.
        forwards: Inputs that went through the net.
        backwards: Inputs for which gradients or relevance went back.
        derivative: Relative difference of the net's gradient from its derivative; None if no gradient was used.
        precision: Precision of the computation.
        notes: Sentences that a reader of the pictures has to know.
    """

    probe: str
    settings: Mapping[str, Any]
    net: str
    weights: str
    target: str
    index: int | None
    layer: str | None
    exhibits: tuple[Exhibit, ...]
    numbers: Mapping[str, float] = field(default_factory=dict, repr=False)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)
    seed: int = 0
    forwards: int = 0
    backwards: int = 0
    derivative: float | None = None
    precision: str = "float32"
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str | int) -> Exhibit:
        """The picture with a name or number.

        Raises:
            ConvAtlasError: There is no such picture.
        """
        if isinstance(name, int) and -len(self.exhibits) <= name < len(self.exhibits):
            return self.exhibits[name]
        for exhibit in self.exhibits:
            if exhibit.name == name:
                return exhibit
        names = ", ".join(exhibit.name for exhibit in self.exhibits)
        raise ConvAtlasError(f"this gallery has no picture {name!r:.40}; it has {names:.300}")

    def __len__(self) -> int:
        return len(self.exhibits)

    def picture(self) -> Picture:
        """Return the sheet: all pictures, row by row, with their captions."""
        tiles = [Tile(each.pixels, each.caption, each.row) for each in self.exhibits]
        return sheet(str(self), tiles, " ".join(f"{note[:1].upper()}{note[1:]}." for note in self.notes))

    def save(self, path: str | Path) -> Path:
        """Write the gallery to a file and return its path: all of it to .npz, the sheet to .png or .svg.

        Raises:
            ConvAtlasError: The name ends in something else, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() in (".png", ".svg"):
            return self.picture().save(path)
        if path.suffix.lower() != ".npz":
            raise ConvAtlasError(f"a gallery is written to an .npz, .png or .svg file; got {path.name!r}")
        arrays: dict[str, Any] = {f"array {name}": values for name, values in self.arrays.items()}
        arrays |= {f"pixels {number}": each.pixels for number, each in enumerate(self.exhibits)}
        return write_arrays(path, self.to_json(), arrays)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a gallery that `save` wrote to an .npz file.

        Raises:
            ConvAtlasError: The file cannot be read, or is no such file.
        """
        with reading_arrays(path, "gallery") as (data, file):
            if set(data) != {each.name for each in fields(cls)} - {"arrays"}:
                raise ValueError
            del data["made"]
            data["exhibits"] = tuple(
                Exhibit(pixels=file[f"pixels {number}"], **each) for number, each in enumerate(data["exhibits"])
            )
            data["notes"] = tuple(data["notes"])
            return cls(**data, arrays={name[6:]: file[name] for name in file if name.startswith("array ")})

    def to_json(self) -> str:
        """Return the record as JSON, without pixels and arrays."""
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("arrays", "made")}
        plain["made"] = asdict(self.made)
        plain["exhibits"] = [
            {each.name: getattr(exhibit, each.name) for each in fields(exhibit) if each.name != "pixels"}
            for exhibit in self.exhibits
        ]
        return json.dumps(plain, default=str, ensure_ascii=False)

    def _repr_svg_(self) -> str:
        return self.picture().svg()

    def __str__(self) -> str:
        where = f" at {self.layer}" if self.layer else ""
        return f"{self.probe} of {self.net}{where}: {self.target}"

"""Published weights of each net, with their address, licence, accuracy and preprocessing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from functools import cache
from importlib.resources import files

from convatlas.base.files.csv_file import read_table

PREFERRED = ("lite", "keras", "torchvision", "timm", "darknet", "own")
"""Origins (publishers of weights) whose weights come before others', in this order; a net's first is its default."""


@dataclass(frozen=True)
class Weights:
    """A set of published weights: a row of `data/weights/<origin>.csv`.

    Attributes:
        net: Name of the card.
        name: Name of the weights: "keras", "keras/notop", "torchvision/IMAGENET1K_V2", "timm/a1_in1k", "own/mnist".
        address: Address of the file; for timm the repository on the hub, for lite the package, for own the command that
            made it.
        file: Name of the file.
        hash: Published md5 (32 hexadecimal digits), or sha256 (64) or its beginning, empty if there is none; for own
            the hash of the tensors.
        bytes: Approximate size of the file; None if not stated.
        licence: Stated licence, by its SPDX name if it has one; empty if not stated.
        top1: Top-1 accuracy in percent as printed by the publisher; empty if not printed.
        top5: Top-5 accuracy in percent, likewise.
        model: Publisher's name of the net.
        outputs: Number of classes; 0 for files without a classifier.
        size: Height and width of the input in pixels.
        geometry: How a photo is fitted to the input, see `images.preprocessing` and `images.darknet`.
        resize: Size in pixels that a photo is resized to before it is cropped.
        interpolation: Interpolation of the resizing.
        pixels: Name of the scaling of the pixels, one of the origin's own (`weights/lineages/<origin>.py`).
    """

    net: str
    name: str
    address: str
    file: str
    hash: str
    bytes: int | None
    licence: str
    top1: str
    top5: str
    model: str
    outputs: int
    size: int
    geometry: str
    resize: int
    interpolation: str
    pixels: str

    @property
    def origin(self) -> str:
        """Publisher of the weights, such as "torchvision" for "torchvision/IMAGENET1K_V2"."""
        return self.name.partition("/")[0]

    @property
    def commercial(self) -> bool:
        """Whether the stated licence allows commercial use; without a statement it is taken to be allowed."""
        return "-NC" not in self.licence.upper()


@cache
def origins() -> tuple[str, ...]:
    """Return the names of all publishers of weights, the preferred ones first; each has a table in `data/weights`."""
    tables = [path.name for path in (files(__package__) / "data" / "weights").iterdir()]
    names = sorted(name.removesuffix(".csv") for name in tables if name.endswith(".csv"))
    return tuple(sorted(names, key=lambda name: PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)))


def weights_of(net: str) -> tuple[Weights, ...]:
    """Return the weights of the net whose card is called `net`, the default first."""
    return _by_net().get(net, ())


def all_weights() -> tuple[Weights, ...]:
    """Return all published weights, sorted by origin, in the order of the tables."""
    return tuple(row for origin in origins() for row in _table(origin))


def table_text(rows: Iterable[Weights]) -> str:
    """Format rows as in the tables of `data/weights`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Weights))
    writer.writerows(["" if value is None else value for value in astuple(row)] for row in rows)
    return text.getvalue()


@cache
def _by_net() -> dict[str, tuple[Weights, ...]]:
    by_net: dict[str, tuple[Weights, ...]] = {}
    for row in all_weights():
        by_net[row.net] = (*by_net.get(row.net, ()), row)
    return by_net


@cache
def _table(origin: str) -> tuple[Weights, ...]:
    text = (files(__package__) / "data" / "weights" / f"{origin}.csv").read_text(encoding="utf-8")
    columns = [field.name for field in fields(Weights)]
    return tuple(_row(row) for _, row in read_table(text, f"{origin}.csv", columns))


def _row(row: dict[str, str]) -> Weights:
    numbers = {name: int(row[name]) for name in ("outputs", "size", "resize")}
    size = int(row["bytes"]) if row["bytes"] else None
    return Weights(**{**row, **numbers, "bytes": size})  # type: ignore[arg-type]

"""Weights from a file by its path, whoever wrote it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import Card
from convatlas.catalogue.lineages import Weights, weights_of
from convatlas.nets.building import Size, skeleton
from convatlas.weights import darknet, keras, own
from convatlas.weights.adapting import CLASSIFIER
from convatlas.weights.lineage import Lineage, lineage
from convatlas.weights.origins import choose, origin
from convatlas.weights.reading import COUNTER, finite, fits

ENDINGS = {
    ".h5": ("keras",),
    ".keras": ("keras",),
    ".pth": ("torchvision", "timm", "lite"),
    ".pt": ("torchvision", "timm", "lite"),
    ".bin": ("torchvision", "timm", "lite"),
    ".safetensors": ("torchvision", "timm", "lite"),
    ".weights": ("darknet",),
}
"""Who writes files of which ending, beside ourselves."""


def is_file(name: str) -> bool:
    """Whether a name is a path: by its ending, which no net's and no lineage's name has."""
    return name.endswith(tuple(ENDINGS)) or darknet.CUT.search(name) is not None


def opened(
    path: Path, card: Card | None, like: str | None, size: Size | None = None
) -> tuple[dict[str, Tensor], own.Description]:
    """The tensors of a file and their description.

    Args:
        path: Of one of the `ENDINGS`.
        card: The net that the user names; None where only the path is given.
        like: The lineage whose conventions a file of others follows; None to find it by trying.
        size: Of the photos that a net of others was made for, where it flattens a map whole; the card's if None.

    Raises:
        WeightsError: The file is damaged, holds another net, or does not say which one.
    """
    if not path.is_file():
        raise WeightsError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        tensors, described = own.read(path)
        if described is not None:
            if card is not None and described.net != card.name:
                raise WeightsError(f"{path.name} holds a {described.net}, not a {card.name}")
            return finite(tensors, path.name), described
    if card is None:
        raise WeightsError(f"{path.name} does not say which net it holds: name the net, and the file as its weights")
    return _foreign(path, card, like, size)


def _foreign(path: Path, card: Card, like: str | None, size: Size | None) -> tuple[dict[str, Tensor], own.Description]:
    rows = [choose(card, like)] if like else _conventions(path, card)
    if not rows:
        raise WeightsError(f"no lineage of {card.name} has files that end in {path.suffix}")
    fitting: list[tuple[Weights, dict[str, Tensor], int]] = []
    refused: list[WeightsError] = []
    for row in rows:
        try:
            fitting.append((row, *_read(path, card, row, size)))
        except WeightsError as error:
            refused.append(error)
    if not fitting:
        raise refused[0]
    first, tensors, outputs = fitting[0]
    different = [row.name for row, *_ in fitting if _variant(row) != _variant(first)]
    if different:
        raise WeightsError(
            f"{path.name} fits the names of {first.name} and {different[0]}, which compute otherwise: say which (like=)"
        )
    follows = keras.follows(first, path, tensors) if first.origin == "keras" and not like else first.name
    return tensors, own.Description(
        card.name, follows, {}, outputs, card.input[2], card.input[:2], _lineage(path, first, outputs)
    )


def _conventions(path: Path, card: Card) -> list[Weights]:
    """One row of each way to compute the net that comes in files of this ending."""
    found: list[Weights] = []
    writers = ENDINGS.get(path.suffix, ("darknet",))
    for row in weights_of(card.name):
        same = [other for other in found if other.origin == row.origin and _variant(other) == _variant(row)]
        if row.origin in writers and row.outputs and not same:
            found.append(row)
    return found


def _variant(row: Weights) -> object:
    return origin(row.origin).variant(row)


def _read(path: Path, card: Card, row: Weights, size: Size | None) -> tuple[dict[str, Tensor], int]:
    """The tensors, and how many classes they tell apart; 0 if the last layer is not there."""
    source = origin(row.origin)
    net = skeleton(card.name, size=size, variant=source.variant(row))
    tensors = source.tensors(path, net)
    last, wanted = tensors.get(f"{CLASSIFIER}.weight"), net.state_dict().get(f"{CLASSIFIER}.weight")
    # A detector's last layer counts boxes too.
    counts = last is not None and wanted is not None and len(wanted) == net.classes
    if last is not None and counts and len(last) not in (0, net.classes):
        net = skeleton(card.name, classes=len(last), size=size, variant=source.variant(row))
    headless = any(name.startswith("head.") and name not in tensors for name in net.state_dict() if COUNTER not in name)
    fits(tensors, net.state_dict(), path.name, headless=headless)
    return finite(tensors, path.name), 0 if headless else net.classes


def _lineage(path: Path, row: Weights, outputs: int) -> Lineage:
    known = lineage(row, hashlib.sha256(path.read_bytes()).hexdigest())
    named = replace(known, name=row.origin, source=path.name, licence="", top1="", top5="")
    return named if outputs == row.outputs else named.fresh()

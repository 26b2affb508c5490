"""Weights from a file by its path, whoever wrote it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from convatlas.base.errors import SizeError, WeightsError
from convatlas.catalogue.cards import Card
from convatlas.catalogue.lineages import Weights, weights_of
from convatlas.nets.build import Size, skeleton
from convatlas.weights import native
from convatlas.weights.adapt import CLASSIFIER
from convatlas.weights.lineage import Lineage, lineage
from convatlas.weights.lineages import darknet, keras
from convatlas.weights.lineages.registry import choose, origin
from convatlas.weights.state_io import COUNTER, finite, fits

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
    return name.lower().endswith(tuple(ENDINGS)) or darknet.CUT.search(name) is not None


def opened(
    path: Path, card: Card | None, like: str | None, size: Size | None = None, channels: int | None = None
) -> tuple[dict[str, Tensor], native.Description]:
    """The tensors of a file and their description.

    Args:
        path: Of one of the `ENDINGS`.
        card: The net that the user names; None where only the path is given.
        like: The lineage whose conventions a file of others follows; None to find it by trying.
        size: Of the photos that a net of others was made for, where it flattens a map whole; the card's if None.
        channels: Which a file of others may be for, beside those of the card.

    Raises:
        WeightsError: The file is damaged, holds another net, or does not say which one.
    """
    # `Path.is_file` raises errors of the system, for one where the name is too long.
    if not os.path.isfile(path):
        raise WeightsError(f"there is no file {str(path)!r:.300}")
    if path.suffix.lower() == ".safetensors":
        tensors, described = native.read(path)
        if described is not None:
            if card is not None and described.net != card.name:
                raise WeightsError(f"{path.name} holds a {described.net}, not a {card.name}")
            if like is not None:
                raise WeightsError(f"{path.name} says itself whose conventions its net follows: leave out like=")
            native.check(tensors, described, path)
            return finite(tensors, f"the weights in {path.name}"), described
    if card is None:
        raise WeightsError(f"{path.name} does not say which net it holds: name the net, and the file as its weights")
    return _foreign(path, card, like, size, channels)


def _foreign(
    path: Path, card: Card, like: str | None, size: Size | None, channels: int | None
) -> tuple[dict[str, Tensor], native.Description]:
    rows = _conventions(path, card) if like is None else [choose(card, like)]
    if not rows:
        raise WeightsError(f"no lineage of {card.name} has files that end in {path.suffix}")
    wide = card.input[2]
    fitting, refused = _fitting(path, card, rows, size, wide)
    if not fitting and channels is not None and channels != wide:
        wide = channels
        fitting, _ = _fitting(path, card, rows, size, wide)
    if not fitting:
        raise refused[0]
    first, tensors, outputs = fitting[0]
    different = [row.name for row, *_ in fitting if _variant(row) != _variant(first)]
    if different:
        raise WeightsError(
            f"{path.name} fits the names of {first.name} and {different[0]}, which compute otherwise: say which (like=)"
        )
    follows = keras.follows(first, path, tensors) if first.origin == "keras" and like is None else first.name
    return tensors, native.Description(
        card.name, follows, {}, outputs, wide, card.input[:2], _lineage(path, first, outputs)
    )


def _fitting(
    path: Path, card: Card, rows: Sequence[Weights], size: Size | None, channels: int
) -> tuple[list[tuple[Weights, dict[str, Tensor], int]], list[WeightsError]]:
    """The file as those of the rows read it whom it fits, and what the others say."""
    fitting, refused = [], []
    for row in rows:
        try:
            fitting.append((row, *_read(path, card, row, size, channels)))
        except WeightsError as error:
            refused.append(error)
    return fitting, refused


def _conventions(path: Path, card: Card) -> list[Weights]:
    """One row of each way to compute the net that comes in files of this ending."""
    found: list[Weights] = []
    writers = ENDINGS.get(path.suffix.lower(), ("darknet",))
    for row in weights_of(card.name):
        same = [other for other in found if other.origin == row.origin and _variant(other) == _variant(row)]
        if row.origin in writers and row.outputs and not same:
            found.append(row)
    return found


def _variant(row: Weights) -> object:
    return origin(row.origin).variant(row)


def _read(path: Path, card: Card, row: Weights, size: Size | None, channels: int) -> tuple[dict[str, Tensor], int]:
    """The tensors, and how many classes they tell apart; 0 if the last layer is not there."""
    source = origin(row.origin)
    net = skeleton(card.name, channels=channels, size=size, variant=source.variant(row))
    tensors = source.tensors(path, net)
    last, wanted = tensors.get(f"{CLASSIFIER}.weight"), net.state_dict().get(f"{CLASSIFIER}.weight")
    # A detector's last layer counts boxes too.
    counts = last is not None and wanted is not None and len(wanted) == net.classes
    if last is not None and counts and last.shape[:1] not in ((), (0,), (net.classes,)):
        try:
            net = skeleton(card.name, classes=len(last), channels=channels, size=size, variant=source.variant(row))
        except SizeError as error:
            raise WeightsError(f"{path.name} holds no {card.name}: {error}") from None
    headless = any(name.startswith("head.") and name not in tensors for name in net.state_dict() if COUNTER not in name)
    title = f"the weights in {path.name}"
    fits(tensors, net.state_dict(), title, headless=headless)
    return finite(tensors, title), 0 if headless else net.classes


def _lineage(path: Path, row: Weights, outputs: int) -> Lineage:
    with path.open("rb") as file:
        known = lineage(row, hashlib.file_digest(file, "sha256").hexdigest())
    named = replace(known, name=row.origin, source=path.name, licence="", top1="", top5="")
    return named if outputs == row.outputs else named.fresh()

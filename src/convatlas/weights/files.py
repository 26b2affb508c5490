"""Read weights from a file given by its path, in our native format or another publisher's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from convatlas.base.errors import SizeError, WeightsError
from convatlas.catalogue.cards import Card
from convatlas.catalogue.lineages import Weights, origins, weights_of
from convatlas.nets.build import Size, skeleton
from convatlas.weights.adapt import CLASSIFIER
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import COUNTER, check_fit, finite_float32
from convatlas.weights.lineage import Lineage, lineage
from convatlas.weights.registry import choose, origin


@dataclass(frozen=True)
class Candidate:
    """A file read by the conventions of one lineage.

    Attributes:
        row: Published weights of that lineage.
        tensors: The file's tensors under our names.
        classes: Number of classes; 0 if the last layer is missing.
    """

    row: Weights
    tensors: dict[str, Tensor]
    classes: int


def is_weights_file(name: str) -> bool:
    """Whether a name is the path of a file of weights, by its ending, which no name of a net or lineage has."""
    return name.lower().endswith(native.ENDING) or any(origin(known).can_read(name) for known in origins())


def read(
    path: Path, card: Card | None, convention: str | None, size: Size | None = None, channels: int | None = None
) -> tuple[dict[str, Tensor], native.Description]:
    """Return the tensors of a file under our names, and their description.

    Args:
        path: Path of the file; its name satisfies `is_weights_file`.
        card: Card of the net that the user names; None where only the path is given.
        convention: Lineage whose conventions the file follows, if it is not native; None to try each one.
        size: Size of the photos that the file's net was made for, if its dense layers depend on it; the card's if None.
        channels: Number of input channels to try if the file does not fit the card's.

    Raises:
        WeightsError: The file is damaged, holds another net, or does not say which one.
    """
    # `Path.is_file` raises the system's errors, for example if the name is too long.
    if not os.path.isfile(path):
        raise WeightsError(f"there is no file {str(path)!r:.300}")
    if path.suffix.lower() == native.ENDING:
        tensors, description = native.read(path)
        if description is not None:
            if card is not None and description.net != card.name:
                raise WeightsError(f"{path.name} holds a {description.net}, not a {card.name}")
            if convention is not None:
                raise WeightsError(f"{path.name} is a native file, which states its conventions: leave out convention=")
            native.check(tensors, description, path)
            return finite_float32(tensors, f"the weights in {path.name}"), description
    if card is None:
        raise WeightsError(
            f"{path.name} does not say which net it holds: give the name of the net, and the file as weights="
        )
    return _read_foreign(path, card, convention, size, channels)


def _read_foreign(
    path: Path, card: Card, convention: str | None, size: Size | None, channels: int | None
) -> tuple[dict[str, Tensor], native.Description]:
    rows = _conventions(path, card) if convention is None else [choose(card, convention)]
    if not rows:
        raise WeightsError(f"no lineage of {card.name} has files that end in {path.suffix}")
    in_channels = card.input[2]
    candidates, errors = _candidates(path, card, rows, size, in_channels)
    if not candidates and channels is not None and channels != in_channels:
        in_channels = channels
        candidates, _ = _candidates(path, card, rows, size, in_channels)
    if not candidates:
        raise errors[0]
    first = candidates[0]
    different = [other.row.name for other in candidates if _variant(other.row) != _variant(first.row)]
    if different:
        raise WeightsError(
            f"{path.name} fits the names of {first.row.name} and {different[0]}, which compute different things: "
            "choose one with convention="
        )
    follows = (
        first.row.name if convention is not None else origin(first.row.origin).follows(first.row, path, first.tensors)
    )
    return first.tensors, native.Description(
        card.name, follows, {}, first.classes, in_channels, card.input[:2], _lineage(path, first)
    )


def _candidates(
    path: Path, card: Card, rows: Sequence[Weights], size: Size | None, channels: int
) -> tuple[list[Candidate], list[WeightsError]]:
    """Try each candidate convention; return those that fit, and the errors of the rest."""
    fitting, errors = [], []
    for row in rows:
        try:
            fitting.append(_candidate(path, card, row, size, channels))
        except WeightsError as error:
            errors.append(error)
    return fitting, errors


def _conventions(path: Path, card: Card) -> list[Weights]:
    """Return the weights to try: one row for each origin and variant of the net whose files have this ending."""
    rows: list[Weights] = []
    for row in weights_of(card.name):
        known = any(other.origin == row.origin and _variant(other) == _variant(row) for other in rows)
        if row.outputs and not known and origin(row.origin).can_read(path.name):
            rows.append(row)
    return rows


def _variant(row: Weights) -> object:
    return origin(row.origin).variant(row)


def _candidate(path: Path, card: Card, row: Weights, size: Size | None, channels: int) -> Candidate:
    source = origin(row.origin)
    net = skeleton(card.name, channels=channels, size=size, variant=source.variant(row))
    tensors = source.read(path, net)
    last, expected = tensors.get(f"{CLASSIFIER}.weight"), net.state_dict().get(f"{CLASSIFIER}.weight")
    # The outputs of a detector's last layer are boxes too, so their number is not the number of classes.
    counts_classes = last is not None and expected is not None and len(expected) == net.classes
    if last is not None and counts_classes and last.shape[:1] not in ((), (0,), (net.classes,)):
        try:
            net = skeleton(card.name, classes=len(last), channels=channels, size=size, variant=source.variant(row))
        except SizeError as error:
            raise WeightsError(f"{path.name} does not hold a {card.name}: {error}") from None
    headless = any(name.startswith("head.") and name not in tensors for name in net.state_dict() if COUNTER not in name)
    title = f"the weights in {path.name}"
    check_fit(tensors, net.state_dict(), title, headless=headless)
    return Candidate(row, finite_float32(tensors, title), 0 if headless else net.classes)


def _lineage(path: Path, candidate: Candidate) -> Lineage:
    row = candidate.row
    with path.open("rb") as file:
        published = lineage(row, hashlib.file_digest(file, "sha256").hexdigest())
    here = replace(published, name=row.origin, source=path.name, licence="", top1="", top5="")
    return here if candidate.classes == row.outputs else here.fresh()

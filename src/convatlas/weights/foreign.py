"""Read a publisher's file of weights, or one written by a user's own script with the publisher's net.

Such a file does not say which net it is for, and often not how the net computes or how photos are prepared. What it
does not say is asked where the nets compute different things, and shown where only the photos are prepared otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from convatlas.base.errors import SizeError, WeightsError
from convatlas.base.files.reading import MAX_WEIGHTS, opened, reason
from convatlas.base.store.progress import notify
from convatlas.base.terminal.arguments import argument
from convatlas.catalogue.cards import Card
from convatlas.nets.build import Size, skeleton
from convatlas.weights.adapt import CLASSIFIER
from convatlas.weights.formats import native
from convatlas.weights.formats.checkpoints import Checkpoint
from convatlas.weights.formats.state_io import COUNTER, Misfit, check_fit, finite_float32
from convatlas.weights.lineage import Lineage, lineage
from convatlas.weights.registry import Convention, conventions, origin
from convatlas.weights.registry import convention as find_convention

SHOWN = 6
"""Most conventions that a message names."""


@dataclass(frozen=True)
class Candidate:
    """A file read by one convention.

    Attributes:
        convention: The convention.
        tensors: The file's tensors under our names.
        classes: Number of classes; 0 if the last layer is missing.
        channels: Number of input channels.
    """

    convention: Convention
    tensors: dict[str, Tensor]
    classes: int
    channels: int


def read(
    path: Path, card: Card, convention: str | None, size: Size | None, channels: int | None
) -> tuple[dict[str, Tensor], native.Description]:
    """Return the tensors of a file under our names, and their description; the arguments are those of `files.read`.

    Raises:
        WeightsError: The file is damaged, holds another net, or fits conventions that compute different things.
    """
    readable = [each for each in conventions(card) if origin(each.row.origin).can_read(path.name)]
    if convention is None and not readable:
        raise WeightsError(f"no lineage of {card.name} has files that end in {path.suffix}")
    try:
        with opened(path, MAX_WEIGHTS) as (file, _):
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path.name} cannot be read: {reason(error)}") from None
    published = _published(path, sha256, readable)
    if convention is not None:
        tried = [find_convention(card, convention)]
    else:
        tried = [published] if published else _distinct(readable)
    if not tried:
        raise WeightsError(f"no lineage of {card.name} has files of weights with a last layer")
    contents = {row.origin: origin(row.origin).opened(path) for row in (each.row for each in tried)}
    fitting = _fitting(path, card, tried, contents, size, channels)
    chosen, said = fitting[0], convention is not None or published is not None
    if not said:
        stated = origin(chosen.convention.row.origin).states(chosen.convention.row, path, chosen.tensors)
        said, follows = stated is not None, chosen.convention.name if stated is None else stated
    else:
        follows = chosen.convention.name
    if not said and len(fitting) > 1:
        names = ", ".join(each.convention.name for each in fitting)
        raise WeightsError(
            f"{path.name} fits the names of {names}, which compute different things: choose one with "
            f"{argument('convention')}"
        )
    content = contents[chosen.convention.row.origin]
    table = content if isinstance(content, Checkpoint) else Checkpoint({})
    _say(path, table, None if said else chosen.convention, readable)
    return chosen.tensors, native.Description(
        card.name,
        follows,
        {},
        chosen.classes,
        chosen.channels,
        card.input[:2],
        _lineage(path, chosen, sha256, table.table, published is not None and convention is None),
    )


def _published(path: Path, sha256: str, readable: Sequence[Convention]) -> Convention | None:
    """Return the convention of the published weights whose hash the file has; None if it is no published file."""
    md5 = ""
    for each in readable:
        hash, setting = each.row.hash.lower(), each.name != each.row.name
        if len(hash) == 32 and not md5:
            with path.open("rb") as file:
                md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if not setting and hash and (md5 if len(hash) == 32 else sha256).startswith(hash):
            return each
    return None


def _distinct(readable: Sequence[Convention]) -> list[Convention]:
    """Return one convention for each origin and variant of the net."""
    distinct: list[Convention] = []
    for each in readable:
        known = any(other.row.origin == each.row.origin and other.variant == each.variant for other in distinct)
        if each.row.outputs and not known:
            distinct.append(each)
    return distinct


def _fitting(
    path: Path,
    card: Card,
    tried: Sequence[Convention],
    opened: Mapping[str, Path | Checkpoint],
    size: Size | None,
    channels: int | None,
) -> list[Candidate]:
    """Read the file by each convention; return those that fit, only the first of those that compute the same.

    Raises:
        WeightsError: None fits; the error of the one that comes nearest.
    """
    fitting: list[Candidate] = []
    errors: list[WeightsError] = []
    for count in dict.fromkeys((card.input[2], card.input[2] if channels is None else channels)):
        for each in tried:
            try:
                candidate = _candidate(path, card, each, opened[each.row.origin], size, count)
            except WeightsError as error:
                errors.append(error)
                continue
            if all(candidate.convention.variant != other.convention.variant for other in fitting):
                fitting.append(candidate)
        if fitting:
            return fitting
    raise min(errors, key=lambda error: error.count if isinstance(error, Misfit) else 0)


def _candidate(
    path: Path, card: Card, convention: Convention, opened: Path | Checkpoint, size: Size | None, channels: int
) -> Candidate:
    net = skeleton(card.name, channels=channels, size=size, variant=convention.variant)
    renamed = origin(convention.row.origin).renamed(opened, net)
    tensors = renamed.tensors
    last, expected = tensors.get(f"{CLASSIFIER}.weight"), net.state_dict().get(f"{CLASSIFIER}.weight")
    # The outputs of a detector's last layer are boxes too, so their number is not the number of classes.
    counts_classes = last is not None and expected is not None and len(expected) == net.classes
    if last is not None and counts_classes and last.shape[:1] not in ((), (0,), (net.classes,)):
        try:
            net = skeleton(card.name, classes=len(last), channels=channels, size=size, variant=convention.variant)
        except SizeError as error:
            raise WeightsError(f"{path.name} does not hold a {card.name}: {error}") from None
    ours = net.state_dict()
    lacks_head = any(name.startswith("head.") and name not in tensors for name in ours if COUNTER not in name)
    # Beside surplus names, the head is there under another name.
    headless = lacks_head and tensors.keys() <= ours.keys()
    title = f"the weights in {path.name}"
    check_fit(tensors, ours, title, headless=headless, keys=renamed.keys)
    classes = 0 if headless else net.classes
    return Candidate(convention, finite_float32(tensors, title, renamed.keys), classes, channels)


def _lineage(path: Path, candidate: Candidate, sha256: str, table: str, published: bool) -> Lineage:
    row = candidate.convention.row
    here = replace(lineage(row, sha256), source=f"{path.name}: {table}" if table else path.name)
    if not published:
        here = replace(here, name=row.origin, licence="", top1="", top5="")
    if candidate.classes == row.outputs:
        return here
    # Other classes than the publisher's have no names in the file.
    return replace(here.fresh(), class_names=tuple(map(str, range(candidate.classes))))


def _say(path: Path, table: Checkpoint, assumed: Convention | None, readable: Sequence[Convention]) -> None:
    """Print which of several tables was taken, and how photos are prepared if the file does not say so."""
    said = []
    if table.others:
        said.append(f"the weights of {table.table} are taken, not those of {', '.join(table.others)}")
    if assumed is not None:
        others = _others(assumed, readable)
        more = ", ".join(others[:SHOWN]) + (f" and {len(others) - SHOWN} more" if len(others) > SHOWN else "")
        choice = f"; {argument('convention')} chooses another way: {more}" if others else ""
        said.append(f"photos are prepared as for {assumed.name}, because the file does not say how{choice}")
    if said:
        notify(f"{path.name}: {'; '.join(said)}")


def _others(assumed: Convention, readable: Sequence[Convention]) -> list[str]:
    """Names of conventions of the same net that prepare photos in other ways, one for each way."""
    ways = {lineage(assumed.row).preprocessing: assumed.name}
    for each in readable:
        if each.row.outputs and each.variant == assumed.variant:
            ways.setdefault(lineage(each.row).preprocessing, each.name)
    return [name for name in ways.values() if name != assumed.name]

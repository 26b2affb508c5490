"""What is on a photo, as a net sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError, ImageError, WeightsError
from convatlas.base.records import Record
from convatlas.base.tables import Column, Table
from convatlas.images.decoding import Source
from convatlas.images.many import is_many, name, sources
from convatlas.nets.net import Net
from convatlas.nets.probabilities import probabilities
from convatlas.weights.loading import load

BATCH = 16


@dataclass(frozen=True)
class Answer:
    """One class: its name, its number among the outputs, its probability (0 to 1)."""

    label: str
    number: int
    probability: float


@dataclass(frozen=True)
class Classification(Record):
    """The most probable classes of one photo; or, where it could not be read, why."""

    photo: str
    net: str
    weights: str
    answers: tuple[Answer, ...]
    error: str | None = None

    def __str__(self) -> str:
        if self.error is not None:
            return self.error
        return f"{self.photo}: " + ", ".join(f"{answer.label} {answer.probability:.3f}" for answer in self.answers)


def classify(
    photo: Source | Sequence[Source],
    net: str | Net = "efficientnet_lite0",
    *,
    weights: str | None = None,
    top: int = 5,
    device: str = "auto",
) -> Classification | list[Classification]:
    """The most probable classes of a photo, or of each of many.

    Args:
        photo: A path, bytes, an array (H, W, 3) or a PIL image; or a folder, or a list of any of these.
        net: A net's name, or a net that `load` gave.
        weights: Which weights of a net by its name, as in `load`; its first if not said.
        top: How many classes, 1 up to all of them.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        A `Classification` for a single photo; a list of them for a folder or a list, in which photos that cannot be
        read have an `error` and no answers.

    Raises:
        ImageError: A single photo cannot be read.
        UnknownName: No such net or device.
        WeightsError: The net has no weights.
    """
    if is_many(photo):
        return list(classifications(photo, net, weights=weights, top=top, device=device))
    if isinstance(photo, str | Path) and Path(photo).is_dir():
        return list(classifications([photo], net, weights=weights, top=top, device=device))
    (found,) = classifications([photo], net, weights=weights, top=top, device=device)  # type: ignore[list-item]
    if found.error is not None:
        raise ImageError(found.error)
    return found


def classifications(
    many: Sequence[Source],
    net: str | Net = "efficientnet_lite0",
    *,
    weights: str | None = None,
    top: int = 5,
    device: str = "auto",
) -> Iterator[Classification]:
    """As `classify` of a list, one after the other as they are found."""
    where = device_of(device)
    net = classifier(net, weights)
    names = net.lineage.class_names
    if not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= len(names):
        raise ConvAtlasError(f"top is a number of classes from 1 to {len(names)}; got {top!r}")
    net.to(where).eval()
    given = sources(many)
    for start in range(0, len(given), BATCH):
        prepared = [_prepared(net, source) for source in given[start : start + BATCH]]
        good = [x for x in prepared if not isinstance(x, str)]
        answered = iter(_answers(net, good) if good else [])
        for source, x in zip(given[start : start + BATCH], prepared, strict=True):
            error, answers = (x, ()) if isinstance(x, str) else (None, _best(next(answered), names, top))
            yield Classification(name(source), net.card.name, net.lineage.name, answers, error)


def classifier(net: object, weights: str | None) -> Net:
    """A net whose answers have names: one by its name, or what `load` gave.

    Raises:
        ConvAtlasError: It is something else, or finds boxes.
        WeightsError: Its weights are random, or its classes have no names.
    """
    if isinstance(net, str | os.PathLike):
        net = load(net, weights=weights)
    elif weights is not None:
        raise ConvAtlasError("weights go with a net's name: a net that `load` gave has its own")
    if not isinstance(net, Net):
        raise ConvAtlasError(f"a net to classify with is a name, or what `load` gave, not {type(net).__name__}")
    if net.card.output_kind == "raw detector heads":
        raise ConvAtlasError(f"{net.card.name} finds boxes, it does not classify: detect with it")
    if net.lineage is None:
        raise WeightsError(f"{net.card.name} has random weights, whose answers mean nothing; load it with weights")
    if not net.lineage.class_names:
        raise WeightsError(f"this {net.card.name} names no classes: its head is fresh, or cut off")
    return net


def _prepared(net: Net, source: Source) -> torch.Tensor | str:
    try:
        return net.preprocess(source)
    except ImageError as error:
        return str(error)


def _answers(net: Net, batch: list[torch.Tensor]) -> list[torch.Tensor]:
    with torch.inference_mode():
        x = torch.stack(batch).to(next(net.parameters()))  # (N, 3, h, w)
        return list(probabilities(net, net(x)).cpu())  # N of (classes,)


def _best(shares: torch.Tensor, names: tuple[str, ...], top: int) -> tuple[Answer, ...]:
    values, numbers = shares.topk(top)
    return tuple(
        Answer(names[number], number, value) for number, value in zip(numbers.tolist(), values.tolist(), strict=True)
    )


COLUMNS = (
    Column("photo", "photo"),
    Column("label", "class"),
    Column("probability", "probability", lambda share: f"{share:.3f}"),
    Column("number", "number", str),
)


def table(found: Sequence[Classification]) -> Table:
    """One row an answer; the photo is named in its first, without the folder that all have in common."""
    shared = os.path.commonpath([Path(one.photo).absolute().parent for one in found] or [Path.cwd()])
    rows = [
        {"photo": os.path.relpath(Path(one.photo).absolute(), shared) if place == 0 else ""}
        | {key: getattr(answer, key) for key in ("label", "probability", "number")}
        for one in found
        for place, answer in enumerate(one.answers)
    ]
    title = f"{found[0].net}, {found[0].weights} weights" if found else ""
    return Table(COLUMNS, rows, title=title)

"""How often a net is right on photos whose classes are known."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from convatlas.base.atomic import read_json, write_bytes
from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError, ImageError
from convatlas.base.evaluations import keep
from convatlas.base.locking import locked, unusable
from convatlas.base.records import Record
from convatlas.base.remote import home
from convatlas.base.verbs import Steps, verb
from convatlas.images.labelled import Labelled, labelled
from convatlas.nets.net import Net
from convatlas.predict.classify_eager import classifier
from convatlas.predict.evaluation_key import is_published, key_of
from convatlas.predict.label_map import right_numbers
from convatlas.weights.lineage import lineage
from convatlas.weights.registry import choose

BATCH, SHARD = 32, 512
TOP = 5
UNREADABLE = -1


@dataclass(frozen=True)
class Evaluation(Record):
    """How often a net was right.

    Attributes:
        key: Of all that it depends on: the net to the bit, its preprocessing, the photos, which answers are right.
        net: The card's name.
        weights: The lineage.
        published: Whether the net is to the bit what the lineage published; no other is shown by `check`.
        hash: Of the weights' file.
        preprocessing: Whose preprocessing the net saw the photos through.
        data: The folder.
        photos: How many were seen; those that could not be read are not among them.
        classes: How many classes they are of.
        top1: Share of photos whose class was the net's first answer, in percent.
        top5: Whose class was among the first five.
        top1_interval: In which the net's true share lies, 95 times of 100 (Wilson 1927), in percent.
        top5_interval: Likewise.
        unreadable: Photos that could not be read.
        empty: Folders of classes that hold no photo; they are left out.
    """

    key: str
    net: str
    weights: str
    published: bool
    hash: str
    preprocessing: str
    data: str
    photos: int
    classes: int
    top1: float
    top5: float
    top1_interval: tuple[float, float]
    top5_interval: tuple[float, float]
    unreadable: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()

    def __str__(self) -> str:
        first, five = self.top1_interval, self.top5_interval
        otherwise = "" if self.published else " (not as published)"
        otherwise += "" if self.preprocessing == self.weights else f" seen as {self.preprocessing} prepares photos"
        return (
            f"{self.net}, {self.weights} weights{otherwise}, {self.photos} photos of {self.classes} classes: "
            f"top-1 {self.top1:.2f} % ({first[0]:.2f} to {first[1]:.2f}), "
            f"top-5 {self.top5:.2f} % ({five[0]:.2f} to {five[1]:.2f})"
        )


@verb
def evaluate(
    net: str | Net,
    data: str | Path,
    *,
    weights: str | None = None,
    truth: str | Path | None = None,
    classes: Mapping[str, str | int] | None = None,
    preprocessing: str | None = None,
    device: str = "auto",
) -> Steps[Evaluation]:
    """Accuracy of a net on photos whose classes are known, under its lineage's own preprocessing.

    What was seen is kept as it goes: the same call after an interruption goes on where it was. The result of a net that
    is to the bit what its lineage published is kept too, and `check` shows it beside the published figure.

    Args:
        net: A net's name, or a net that `load` gave.
        data: A folder of folders of classes (named by synset, by number or by label), or of photos, with `truth`.
            Numbers count from 0: ImageNet's classes in the order of their synsets, others as the net puts them out.
        weights: Which weights of a net by its name, as in `load`.
        truth: A file with the name and the class of each photo.
        classes: Names of the net's classes (or synsets, or numbers) by those of the data set, where they differ.
        preprocessing: Another lineage of the net, to see what its preprocessing costs.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        ImageError: There are no such photos, or none of them can be read.
        ConvAtlasError: Classes that the net does not know, or a net that does not classify.
        WeightsError: The net has no weights, or no names of classes.
        StoreError: The store cannot be written.
    """
    where = device_of(device)
    net = classifier(net, weights)
    seen_as = net.lineage if preprocessing is None else lineage(choose(net.card, preprocessing))
    photos, empty = labelled(data, truth)
    numbers = right_numbers({photo.label for photo in photos}, net.lineage.class_names, classes)
    net.to(where).eval()
    viewer = replace(net.lineage, preprocessing=seen_as.preprocessing.for_channels(net.channels))
    if viewer.preprocessing.channels != net.channels:
        raise ConvAtlasError(f"photos become {viewer.preprocessing.channels} channels; this net takes {net.channels}")
    key = key_of(net, seen_as.name, photos, numbers)
    folder = home() / "evaluated" / key
    ranks: list[int] = []
    with locked(folder):
        for start in range(0, len(photos), SHARD):
            ranks += _shard(net, viewer, photos[start : start + SHARD], numbers, folder / f"{start:08}.json")
            if len(ranks) < len(photos):
                yield len(ranks), len(photos), None
    result = _result(net, key, seen_as.name, str(Path(data).absolute()), photos, ranks, empty)
    if result.published:
        keep(result.net, result.to_dict())
    yield len(photos), len(photos), result


def _shard(net: Net, viewer: Any, photos: Sequence[Labelled], numbers: Mapping[str, int], kept: Path) -> list[int]:
    """The rank of the right answer for each photo, from 0; read from `kept` if it was found before."""
    with suppress(OSError, ValueError):
        found = read_json(kept)
        if isinstance(found, list) and len(found) == len(photos) and all(type(rank) is int for rank in found):
            return found
    ranks = [UNREADABLE] * len(photos)

    def prepared(photo: Labelled) -> torch.Tensor | None:
        try:
            return torch.from_numpy(viewer.prepare(photo.path))
        except ImageError:
            return None

    parameter = next(net.parameters())
    with ThreadPoolExecutor(2) as pool, torch.inference_mode():
        inputs = pool.map(prepared, photos)
        batch: list[tuple[int, torch.Tensor]] = []
        for place, x in enumerate(inputs):
            if x is not None:
                batch.append((place, x))
            if batch and (len(batch) == BATCH or place == len(photos) - 1):
                answers = net(torch.stack([x for _, x in batch]).to(parameter))
                for (at, _), answer in zip(batch, answers, strict=True):
                    right = answer[numbers[photos[at].label]]
                    # What is no number is never right; of equal answers the smaller number comes first, as in topk.
                    ranks[at] = int((~(answer <= right)).sum() + (answer[: numbers[photos[at].label]] == right).sum())
                batch = []
    try:
        write_bytes(kept, json.dumps(ranks).encode())
    except OSError as error:
        raise unusable(kept, error) from None
    return ranks


def _result(
    net: Net,
    key: str,
    seen_as: str,
    data: str,
    photos: Sequence[Labelled],
    ranks: Sequence[int],
    empty: Sequence[Path],
) -> Evaluation:
    seen = [rank for rank in ranks if rank != UNREADABLE]
    if not seen:
        raise ImageError(f"none of the {len(photos)} photos of {data!r} can be read")
    first, five = sum(rank == 0 for rank in seen), sum(rank < TOP for rank in seen)
    return Evaluation(
        key=key,
        net=net.card.name,
        weights=net.lineage.name,
        published=is_published(net),
        hash=net.lineage.hash,
        preprocessing=seen_as,
        data=data,
        photos=len(seen),
        classes=len({photo.label for photo, rank in zip(photos, ranks, strict=True) if rank != UNREADABLE}),
        top1=100 * first / len(seen),
        top5=100 * five / len(seen),
        top1_interval=wilson(first, len(seen)),
        top5_interval=wilson(five, len(seen)),
        unreadable=tuple(str(p.path) for p, rank in zip(photos, ranks, strict=True) if rank == UNREADABLE),
        empty=tuple(map(str, empty)),
    )


def wilson(right: int, many: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share, in percent (Wilson 1927)."""
    share = right / many
    centre = (share + z * z / (2 * many)) / (1 + z * z / many)
    reach = z / (1 + z * z / many) * math.sqrt(share * (1 - share) / many + z * z / (4 * many * many))
    return 100 * max(0.0, centre - reach), 100 * min(1.0, centre + reach)

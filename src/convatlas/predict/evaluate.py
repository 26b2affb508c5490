"""Measure the accuracy of a net on labelled photos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError, ImageError
from convatlas.base.locking import locked_if_writable, unusable
from convatlas.base.records import Record
from convatlas.base.store.evaluations import add_evaluation
from convatlas.base.store.progress import notify
from convatlas.base.store.remote import home
from convatlas.base.store.sealed import read_sealed_json, write_sealed_json
from convatlas.base.terminal.arguments import argument
from convatlas.base.verbs import Steps, verb
from convatlas.engines.session import Float32Array, Session
from convatlas.images.darknet import DarknetPreprocessing
from convatlas.images.labelled import LabelledPhoto, list_labelled
from convatlas.images.preprocessing import Preprocessing
from convatlas.nets.net import Net
from convatlas.predict.evaluation_key import is_published, key_of
from convatlas.predict.label_map import class_indices
from convatlas.predict.nets import TrainedNet, check_channels, classifying_net
from convatlas.predict.predictors import check_outputs, prepare
from convatlas.predict.sessions import EagerSession
from convatlas.weights.lineage import Lineage, lineage
from convatlas.weights.registry import choose
from convatlas.weights.weights_file import Labels, weights_file

BATCH, SHARD = 32, 512
TOP = 5
UNREADABLE = -1


@dataclass(frozen=True)
class Evaluation(Record):
    """Accuracy of a net on one data set.

    Attributes:
        key: Hash of everything the result depends on: architecture, weights, preprocessing, photos and labels.
        net: The card's name; of a net of the user its name, as `package.module:callable`.
        weights: The lineage's name.
        published: Whether architecture and weights are exactly those that the lineage published; `check` shows only
            such results.
        hash: Hash of the weights' file.
        preprocessing: The lineage whose preprocessing was used.
        data: The folder.
        photos: Number of photos that could be read.
        classes: Number of classes of these photos.
        top1: Share of photos whose class is the most probable one, in percent.
        top5: Share of photos whose class is among the five most probable ones, in percent.
        top1_interval: 95 % confidence interval of `top1` (Wilson 1927), in percent.
        top5_interval: 95 % confidence interval of `top5`, in percent.
        unreadable: Paths of the photos that could not be read.
        empty: Class folders without photos; these classes are left out.
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
        low1, high1 = self.top1_interval
        low5, high5 = self.top5_interval
        note = "" if self.published else " (not as published)"
        note += "" if self.preprocessing == self.weights else f" with the preprocessing of {self.preprocessing}"
        return (
            f"{self.net}, {self.weights} weights{note}, {self.photos} photos of {self.classes} classes: "
            f"top-1 {self.top1:.2f} % ({low1:.2f} to {high1:.2f}), "
            f"top-5 {self.top5:.2f} % ({low5:.2f} to {high5:.2f})"
        )


@verb
def evaluate(
    net: str | nn.Module,
    data: str | Path,
    *,
    weights: str | None = None,
    convention: str | None = None,
    labels: Labels | None = None,
    genes: Mapping[str, object] | None = None,
    truth: str | Path | None = None,
    classes: Mapping[str, str | int] | None = None,
    preprocessing: str | None = None,
    device: str = "auto",
) -> Steps[Evaluation]:
    """Measure the accuracy of a net on labelled photos, with its lineage's own preprocessing.

    Finished shards are stored, so the same call continues after an interruption. If architecture and weights are
    exactly those that the lineage published, the result is stored too; `check` shows it beside the published figure.
    In a read-only store nothing is kept, which a line on the error stream says.

    Args:
        net: A net's name, or a net that `load` returned or `train` trained; your own as `package.module:callable`.
        data: A folder with a folder for each class (named by synset, number or label) or, with `truth`, a folder of
            photos. Numbers start at 0, in the order of the synsets for ImageNet, of the net's outputs otherwise.
        weights: Lineage or file of weights if `net` is a name, as in `load`; by default the net's first lineage.
        convention: For a foreign file of weights, the lineage whose conventions it follows, as in `load`.
        labels: For a file of weights, the names of its classes, or a text file with one on each line, as in `load`.
        genes: Genes to change, as in `build`, if `net` is a name; those that add or change weights do not fit.
        truth: A file with the name and the class of each photo.
        classes: Map from class names of the data set to the net's names (or synsets, or numbers), where they differ.
        preprocessing: Another lineage of the net, whose preprocessing is used instead.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        ImageError: The folder holds no photo, or none that can be read.
        ConvAtlasError: The net has no such class as the data set, or is not a classifier.
        WeightsError: The net has no weights, or no class names.
        StoreError: A result cannot be written to the store.
    """
    place = device_of(device)
    trained = classifying_net(net, weights_file(weights, convention, labels), genes)
    source = trained.lineage if preprocessing is None else _other_lineage(trained, preprocessing)
    photos, empty = list_labelled(data, truth)
    indices = class_indices({photo.label for photo in photos}, trained.lineage.class_names, classes)
    used = source.preprocessing.for_channels(trained.channels)
    check_channels(trained, used.channels)
    session = EagerSession(trained.module, place)
    key = key_of(trained, source.name, photos, indices)
    folder = home() / "evaluated" / key
    ranks: list[int] = []
    with locked_if_writable(folder) as writable:
        for start in range(0, len(photos), SHARD):
            shard = photos[start : start + SHARD]
            ranks += _shard_ranks(session, used, trained, shard, indices, folder / f"{start:08}.json", writable)
            if len(ranks) < len(photos):
                yield len(ranks), len(photos), None
    result = _result(trained, key, source.name, str(Path(data).absolute()), photos, ranks, empty)
    if result.published and writable:
        add_evaluation(result.net, result.to_dict())
    elif not writable:
        notify(f"the result is not kept: the store {home()} cannot be written; CONVATLAS_HOME says where it is")
    yield len(photos), len(photos), result


def _other_lineage(net: TrainedNet, name: str) -> Lineage:
    """Published lineage of the same net."""
    if not isinstance(net.module, Net):
        raise ConvAtlasError(
            f"{net.name} is a net of your own, without other lineages: leave out {argument('preprocessing', name)}"
        )
    return lineage(choose(net.module.card, name))


def _shard_ranks(
    session: Session,
    preprocessing: Preprocessing | DarknetPreprocessing,
    net: TrainedNet,
    photos: Sequence[LabelledPhoto],
    indices: Mapping[str, int],
    file: Path,
    writable: bool,
) -> list[int]:
    """Rank of the true class of each photo, from 0; read from `file` if an earlier run wrote it."""
    with suppress(OSError, ValueError):
        ranks = read_sealed_json(file)
        if isinstance(ranks, list) and len(ranks) == len(photos) and all(type(rank) is int for rank in ranks):
            return ranks
    ranks = [UNREADABLE] * len(photos)
    with ThreadPoolExecutor(2) as pool:
        inputs = pool.map(lambda photo: prepare(preprocessing, [photo.path]).x, photos)
        batch: list[tuple[int, Float32Array]] = []
        for position, x in enumerate(inputs):
            if len(x):
                batch.append((position, x))
            if batch and (len(batch) == BATCH or position == len(photos) - 1):
                outputs = session(np.concatenate([x for _, x in batch]))
                check_outputs(outputs, net.lineage, net.name)
                for (at, _), output in zip(batch, outputs, strict=True):
                    ranks[at] = _rank(output, indices[photos[at].label])
                batch = []
    if writable:
        try:
            write_sealed_json(file, ranks)
        except OSError as error:
            raise unusable(file, error) from None
    return ranks


def _rank(output: Float32Array, index: int) -> int:
    """Rank of a class among the outputs (classes,), from 0; an equal earlier output, or any NaN, ranks before it."""
    value = output[index]
    return int((~(output <= value)).sum() + (output[:index] == value).sum())


def _result(
    net: TrainedNet,
    key: str,
    preprocessing: str,
    data: str,
    photos: Sequence[LabelledPhoto],
    ranks: Sequence[int],
    empty: Sequence[Path],
) -> Evaluation:
    readable = [rank for rank in ranks if rank != UNREADABLE]
    if not readable:
        raise ImageError(f"none of the {len(photos)} photos of {data!r} can be read")
    correct1, correct5 = sum(rank == 0 for rank in readable), sum(rank < TOP for rank in readable)
    return Evaluation(
        key=key,
        net=net.name,
        weights=net.lineage.name,
        published=is_published(net.module),
        hash=net.lineage.hash,
        preprocessing=preprocessing,
        data=data,
        photos=len(readable),
        classes=len({photo.label for photo, rank in zip(photos, ranks, strict=True) if rank != UNREADABLE}),
        top1=100 * correct1 / len(readable),
        top5=100 * correct5 / len(readable),
        top1_interval=wilson(correct1, len(readable)),
        top5_interval=wilson(correct5, len(readable)),
        unreadable=tuple(str(p.path) for p, rank in zip(photos, ranks, strict=True) if rank == UNREADABLE),
        empty=tuple(map(str, empty)),
    )


def wilson(correct: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % confidence interval of the share `correct / count`, in percent (Wilson 1927)."""
    share = correct / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half_width = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return 100 * max(0.0, centre - half_width), 100 * min(1.0, centre + half_width)

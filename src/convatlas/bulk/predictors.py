"""The nets at work: a batch of prepared photos in, the columns of a table out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch

from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError, printable
from convatlas.base.fingerprint import fingerprint
from convatlas.base.machine import threads
from convatlas.base.records import provenance
from convatlas.bulk.job import Wish
from convatlas.engines.accelerate import accelerate
from convatlas.engines.export.metadata import map_of
from convatlas.engines.options import AUTO
from convatlas.engines.probabilities import MAPS
from convatlas.engines.registry import backends
from convatlas.engines.session import Photos, Session
from convatlas.nets.net import Net
from convatlas.predict.classify_eager import classifier
from convatlas.predict.detect import detector, objects_on
from convatlas.weights.load import load

BATCH = 16
"""Photos at a time."""

STREAMS = 8
"""Runs side by side at most, each of which needs memory of its own; more cores than that share them."""

Sizes = Sequence[tuple[int, int]]
Answers = dict[str, Sequence[Any]]


class Model(Protocol):
    """A net and how its answers are kept.

    Attributes:
        wish: What is asked.
        net: The net itself, of which the preparation of photos is taken.
        batch: Photos at a time.
        columns: Of the table, beside the photos' own.
    """

    wish: Wish
    net: Net
    batch: int
    columns: Mapping[str, pa.DataType]

    @property
    def engine(self) -> str:
        """Which engine runs it; the engine is started if it was not."""

    @property
    def callers(self) -> int:
        """How many threads are to call it side by side; the engine is started if it was not."""

    def __call__(self, x: Photos, sizes: Sizes) -> Answers:
        """The columns for photos as inputs (N, C, h, w), and their own (height, width)."""


class Running:
    """A net in the engine that was asked for."""

    batch = BATCH

    def __init__(self, wish: Wish, net: Net):
        self.wish, self.net = wish, net
        if net.channels != net.lineage.preprocessing.channels:
            raise ConvAtlasError(f"{net.card.name} takes {net.channels} channels, which no photo has")

    @cached_property
    def started(self) -> tuple[Session, str, int]:
        """The session, which engine it is, and how many may call it side by side; made at first use."""
        wish = self.wish
        plain = wish.engine in (AUTO, "eager") and wish.precision == "float32"
        where = device_of("cpu" if wish.device == AUTO and not plain else wish.device)
        if where.type == "cpu":
            ranges = list(wish.ranges) or None
            fast = accelerate(self.net, wish.engine, wish.precision, batch=self.batch, photos=ranges)
            # Threads that answer photos of their own wait neither for each other nor for those that prepare more.
            callers, options = min(threads(), STREAMS), fast.record.options
            session = backends()[options.engine].share(fast.session, callers)
            if session is None:
                return fast.session, str(options), 1
            return session, str(replace(options, streams=max(options.streams, callers))), callers
        if not plain:
            raise ConvAtlasError(
                f"on {where} nets run in eager mode, in float32: not in {wish.engine} in {wish.precision}"
            )
        return OnDevice(self.net, where), f"eager float32 on {where}", 1

    @property
    def engine(self) -> str:
        return self.started[1]

    @property
    def callers(self) -> int:
        return self.started[2]

    def answers(self, x: Photos) -> Photos:
        """What the net puts out.

        Raises:
            ConvAtlasError: The engine fails.
        """
        try:
            return self.started[0](x)
        except ConvAtlasError:
            raise
        # The errors of engines have no common root; memory is what they lack most often.
        except Exception as error:
            raise ConvAtlasError(
                f"{self.engine} fails ({printable(error)}); shards that are there are whole, and the same call goes on"
            ) from None


class OnDevice:
    """A session of a net in eager mode on another device than the CPU."""

    def __init__(self, net: Net, device: torch.device):
        self.net, self.device = net.to(device), device

    def __call__(self, x: Photos) -> Photos:
        with torch.inference_mode():
            found: Photos = self.net(torch.from_numpy(x).to(self.device)).cpu().numpy()
        return found


class Classifier(Running):
    """The most probable classes of a photo."""

    columns: Mapping[str, pa.DataType] = {
        "labels": pa.list_(pa.string()),
        "numbers": pa.list_(pa.int32()),
        "probabilities": pa.list_(pa.float32()),
    }

    def __init__(self, wish: Wish):
        super().__init__(wish, classifier(*wish.source))
        if wish.top is not None and wish.top > (classes := len(self.net.lineage.class_names)):
            raise ConvAtlasError(f"top is a number of classes up to {classes}; got {wish.top}")

    def __call__(self, x: Photos, sizes: Sizes) -> Answers:
        # Not by torch, whose threads would take the cores from the engine's.
        shares = MAPS[map_of(self.net)](self.answers(x))
        numbers = np.argsort(-shares, axis=1, kind="stable")[:, : self.wish.most]
        names = self.net.lineage.class_names
        labels = [[names[number] for number in row] for row in numbers.tolist()]
        best = np.take_along_axis(shares, numbers, axis=1)
        return {"labels": labels, "numbers": numbers.tolist(), "probabilities": list(best)}


class Embedder(Running):
    """What the last layer of a net would read."""

    def __init__(self, wish: Wish):
        net, weights = wish.source
        super().__init__(wish, load(net, weights=weights, head=False))
        with torch.inference_mode():
            example = self.net(torch.zeros(1, self.net.channels, *self.net.lineage.preprocessing.size))
        self.columns: Mapping[str, pa.DataType] = {"embedding": pa.list_(pa.float32(), example[0].numel())}

    def __call__(self, x: Photos, sizes: Sizes) -> Answers:
        return {"embedding": list(self.answers(x).reshape(len(x), -1))}


class Detector:
    """The objects on a photo, with boxes in its pixels: left, top, right, bottom."""

    batch = 4
    callers = 1
    engine = "eager float32"
    columns: Mapping[str, pa.DataType] = {
        "boxes": pa.list_(pa.list_(pa.float32(), 4)),
        "labels": pa.list_(pa.string()),
        "numbers": pa.list_(pa.int32()),
        "scores": pa.list_(pa.float32()),
    }

    def __init__(self, wish: Wish):
        self.wish = wish
        self.yolo = detector(*wish.source).to(device_of(wish.device)).eval()
        self.net: Net = self.yolo

    def __call__(self, x: Photos, sizes: Sizes) -> Answers:
        found = objects_on(self.yolo, x, sizes, self.wish.threshold, self.wish.most)
        return {
            "boxes": [[one.box for one in objects] for objects in found],
            "labels": [[one.label for one in objects] for objects in found],
            "numbers": [[one.number for one in objects] for objects in found],
            "scores": [[one.score for one in objects] for objects in found],
        }


KINDS: dict[str, type[Classifier] | type[Embedder] | type[Detector]] = {
    "classify": Classifier,
    "embed": Embedder,
    "detect": Detector,
}


def model_of(wish: Wish) -> Model:
    """The net for a wish; its engine starts with the first photos.

    Raises:
        ConvAtlasError: It has no weights, or its outputs are no answer to what is asked.
    """
    return KINDS[wish.task](wish)


def identity(model: Model) -> dict[str, object]:
    """Which net it is, to the bit of its weights."""
    lineage = model.net.lineage
    return {
        "net": model.net.card.name,
        "weights": lineage.name,
        "sha256": fingerprint(model.net.state_dict()),
        "preprocessing": lineage.preprocessing.to_dict(),
    }


def asked(wish: Wish, known: Mapping[str, object]) -> dict[str, object]:
    """The question and the net, as each file of answers has them."""
    return {name: value for name, value in wish.settings().items() if name != "ranges"} | dict(known)


def metadata(model: Model, known: Mapping[str, object]) -> dict[str, str]:
    """What a file of answers says of where they come from."""
    lineage, made = model.net.lineage, provenance()
    told = {**asked(model.wish, known), "engine": model.engine}
    more = {"source": lineage.source, "licence": lineage.licence, "versions": made.versions, "machine": made.machine}
    return {"convatlas": json.dumps(told | more)}

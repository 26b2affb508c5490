"""Nets by name in engines that need no PyTorch, from the files that `accelerate` left in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.base.atomic import read_json, write_bytes
from convatlas.base.errors import ConvAtlasError
from convatlas.base.machine import machine_key
from convatlas.base.store import home
from convatlas.catalogue.cards import find
from convatlas.catalogue.lineages import Weights
from convatlas.engines.export.metadata import Description
from convatlas.engines.options import Options
from convatlas.engines.probabilities import MAPS
from convatlas.engines.registry import backends, packages, without_torch
from convatlas.engines.session import Photos, Session
from convatlas.weights.lineage import Lineage, lineage
from convatlas.weights.registry import choose


@dataclass(frozen=True)
class CachedNet:
    """A net that is ready to classify.

    Attributes:
        net: The card's name.
        lineage: Lineage of its weights.
        session: The engine's session.
        map: Name of the map from outputs to probabilities.
    """

    net: str
    lineage: Lineage
    session: Session
    map: str

    def probabilities(self, x: Photos) -> Photos:
        """Class probabilities (N, classes) of inputs (N, C, h, w) that `lineage.prepare` made."""
        return MAPS[self.map](self.session(np.ascontiguousarray(x)))


def cached_net(name: str, weights: str | None, engine: str | None = None) -> CachedNet | None:
    """The net called `name` with published weights, in `engine` or in the first with valid files; None without any."""
    row = published(name, weights)
    if row is None:
        return None
    for candidate in without_torch() if engine is None else (engine,):
        try:
            entry = read_json(_index_file(row, candidate))
            folder = home() / "engines" / str(entry["folder"])
            if entry["machine"] != machine_key(packages()) or entry["stamp"] != _stamp(folder, candidate):
                continue
            net = Description.from_metadata(entry["metadata"], "the index")
            if net.lineage != lineage(row) or net.probabilities not in MAPS or not net.lineage.class_names:
                continue
            session = backends()[candidate].open(folder, _options(candidate))
            return CachedNet(net.net, net.lineage, session, net.probabilities)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConvAtlasError):
            continue
    return None


def index(weights: Weights, folder: Path, metadata: Mapping[str, str], engine: str) -> None:
    """Record that `engine` runs published weights from the files in `folder`, and was verified."""
    entry = {
        "folder": folder.name,
        "machine": machine_key(packages()),
        "stamp": _stamp(folder, engine),
        "metadata": dict(metadata),
    }
    write_bytes(_index_file(weights, engine), json.dumps(entry, ensure_ascii=False).encode())


def published(name: str, weights: str | None) -> Weights | None:
    """The published weights that are meant; None for files, nets of the user, and unknown names."""
    try:
        return choose(find(name), weights)
    except ConvAtlasError:
        return None


def classifies(name: str, weights: str | None) -> bool:
    """Whether published weights are meant whose outputs are named classes."""
    row = published(name, weights)
    return row is not None and row.outputs > 0 and find(name).probabilities in MAPS


def _options(engine: str) -> Options:
    return Options(engine, "float32", 1)


def _index_file(weights: Weights, engine: str) -> Path:
    return home() / "engines" / "cached" / weights.net / f"{weights.name.replace('/', '--')}.{engine}.json"


def _stamp(folder: Path, engine: str) -> list[list[int]]:
    """Size and time of the engine's files, which change when a file is replaced."""
    stats = [path.stat() for path in backends()[engine].files(folder, _options(engine))]
    return [[stat.st_size, stat.st_mtime_ns] for stat in stats]

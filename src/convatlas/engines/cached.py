"""A net in ONNX Runtime or OpenVINO by its name alone: what `accelerate` left in the store. Needs no torch."""

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
from convatlas.engines.backends.session import Photos, Session
from convatlas.engines.export.metadata import described
from convatlas.engines.options import Setting
from convatlas.engines.probabilities import MAPS
from convatlas.engines.start import GRAPH, start
from convatlas.weights.lineage import Lineage, lineage
from convatlas.weights.registry import choose

ENGINES = ("onnxruntime", "openvino")
"""Those that start without torch, from the one that starts soonest."""


@dataclass(frozen=True)
class Light:
    """A net that is ready to classify.

    Attributes:
        net: The card's name.
        lineage: Of its weights.
        session: The engine.
        map: From its outputs to probabilities.
    """

    net: str
    lineage: Lineage
    session: Session
    map: str

    def probabilities(self, x: Photos) -> Photos:
        """Of each class; inputs (N, C, h, w) as `lineage.prepare` gives them -> (N, classes)."""
        return MAPS[self.map](self.session(np.ascontiguousarray(x)))


def light(name: str, weights: str | None, engine: str | None = None) -> Light | None:
    """The net called `name` with published weights, in `engine` or whichever is there; None if no file was made."""
    row = published(name, weights)
    if row is None:
        return None
    for one in ENGINES if engine is None else (engine,):
        try:
            told = read_json(_note(row, one))
            folder = home() / "engines" / str(told["folder"])
            if told["machine"] != machine_key() or told["stamp"] != _stamp(folder):
                continue
            found = described(told["metadata"], "the note")
            if found.lineage != lineage(row) or found.probabilities not in MAPS or not found.lineage.class_names:
                continue
            return Light(found.net, found.lineage, start(folder, Setting(one, "float32", 1)), found.probabilities)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConvAtlasError):
            continue
    return None


def note(row: Weights, folder: Path, metadata: Mapping[str, str], engine: str) -> None:
    """Leaves word that `engine` runs published weights from the files in `folder`, and was found right."""
    told = {"folder": folder.name, "machine": machine_key(), "stamp": _stamp(folder), "metadata": dict(metadata)}
    write_bytes(_note(row, engine), json.dumps(told, ensure_ascii=False).encode())


def published(name: str, weights: str | None) -> Weights | None:
    """The published weights that are meant; None for files, nets of the user's own, and what nobody knows."""
    try:
        return choose(find(name), weights)
    except ConvAtlasError:
        return None


def classifies(name: str, weights: str | None) -> bool:
    """Whether published weights are meant whose outputs are classes with names."""
    row = published(name, weights)
    return row is not None and row.outputs > 0 and find(name).probabilities in MAPS


def _note(row: Weights, engine: str) -> Path:
    return home() / "engines" / "light" / row.net / f"{row.name.replace('/', '--')}.{engine}.json"


def _stamp(folder: Path) -> list[int]:
    """Of the graph's file: a file that was exchanged has another one."""
    found = (folder / GRAPH).stat()
    return [found.st_size, found.st_mtime_ns]

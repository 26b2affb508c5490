"""Open nets in engines that need no PyTorch, from the files that `accelerate` wrote to the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convatlas.base.errors import ConvAtlasError
from convatlas.base.machine import machine_key
from convatlas.base.store.remote import home
from convatlas.base.store.sealed import read_sealed_json, sealed_hash, write_sealed_json
from convatlas.catalogue.lineages import Weights
from convatlas.engines.export.metadata import Description
from convatlas.engines.options import Options
from convatlas.engines.probabilities import MAPS
from convatlas.engines.registry import backends, packages, without_torch
from convatlas.engines.session import Session
from convatlas.weights.lineage import Lineage, lineage
from convatlas.weights.resolve import NamedNet


@dataclass(frozen=True)
class CachedNet:
    """A net in an engine, with what is needed to classify.

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


def cached_net(net: NamedNet, engine: str | None = None) -> CachedNet | None:
    """Open a net with published weights in `engine`, or in the first engine with valid files; None if there is none."""
    row = net.published
    if row is None:
        return None
    for candidate in without_torch() if engine is None else (engine,):
        try:
            entry = read_sealed_json(_index_file(row, candidate))
            folder = home() / "engines" / str(entry["folder"])
            if entry["machine"] != machine_key(packages()) or entry["files"] != _hashes(folder, candidate):
                continue
            graph = Description.from_metadata(entry["metadata"], "the index")
            if graph.lineage != lineage(row) or graph.probabilities not in MAPS or not graph.lineage.class_names:
                continue
            session = backends()[candidate].open(folder, _options(candidate))
            return CachedNet(graph.net, graph.lineage, session, graph.probabilities)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConvAtlasError):
            continue
    return None


def add_to_index(weights: Weights, folder: Path, metadata: Mapping[str, str], engine: str) -> None:
    """Record that `engine` was verified to run published weights from the files in `folder`."""
    entry = {
        "folder": folder.name,
        "machine": machine_key(packages()),
        "files": _hashes(folder, engine),
        "metadata": dict(metadata),
    }
    write_sealed_json(_index_file(weights, engine), entry)


def classifies(net: NamedNet) -> bool:
    """Whether a net has published weights whose outputs are named classes."""
    return net.published is not None and net.published.outputs > 0 and net.card.probabilities in MAPS


def _options(engine: str) -> Options:
    return Options(engine, "float32", 1)


def _index_file(weights: Weights, engine: str) -> Path:
    return home() / "engines" / "cached" / weights.net / f"{weights.name.replace('/', '--')}.{engine}.json"


def _hashes(folder: Path, engine: str) -> list[str]:
    """Hashes of the engine's files; raise a ValueError if one is damaged."""
    hashes = [sealed_hash(path) for path in backends()[engine].files(folder, _options(engine))]
    if not all(hashes):
        raise ValueError("a file is damaged")
    return hashes

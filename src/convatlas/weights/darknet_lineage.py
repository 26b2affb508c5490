"""The darknet lineage: nets filled from a darknet file that the user has, and all that has to go with it."""

from __future__ import annotations

import functools
import hashlib
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import Card
from convatlas.images.fitting import Fitting
from convatlas.nets.building import build
from convatlas.nets.net import Net
from convatlas.nets.yolo import YOLO
from convatlas.weights import darknet
from convatlas.weights.lineage import Lineage


@functools.cache
def published() -> Mapping[str, Any]:
    """For each net, where its file is published: `urls`, and `bytes` and `sha256` where known."""
    text = (resources.files(__package__) / "data" / "darknet.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def load(card: Card, path: Path, genes: Mapping[str, object] | None = None) -> Net:
    """The net of `card` filled from a darknet file, in evaluation mode, with its lineage.

    Raises:
        WeightsError: The file cannot be read, does not fit, or holds only the first layers.
    """
    if card.name not in published():
        raise WeightsError(f"darknet's files are no weights of {card.name}; they are of {', '.join(published())}")
    net = build(card.name, genes=genes)
    header = darknet.read(path, net)
    count = len(darknet.layers(net))
    if header.layers != count:
        raise WeightsError(
            f"{str(path)!r} holds the first {header.layers} of {count} layers of {card.name}: a start for training; "
            "fill a net that you built with convatlas.weights.darknet.read"
        )
    net.lineage = _lineage(net, path)
    return net.eval()


def _lineage(net: Net, path: Path) -> Lineage:
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    known = published()[net.card.name]
    official = sha256 == known.get("sha256")
    if isinstance(net, YOLO):
        kind = "stretch" if net.row.cell_boxes else "letterbox"
        labels = {20: "voc", 80: "coco"}[net.classes]
    else:
        kind, labels = "crop", "imagenet1k_darknet"
    return Lineage(
        name="darknet",
        net=net.card.name,
        source=known["urls"][0] if official else f"the file {path}",
        licence="public domain" if official else "unknown",
        sha256=sha256,
        preprocessing=Fitting(net.card.input[:2], kind),
        labels=labels,
    )


def missing(card: Card) -> str:
    """What to say when a net of the lineage is asked for without a file; empty for other nets."""
    if card.name not in published():
        return ""
    return f"; name darknet's file of it, as it is published at {published()[card.name]['urls'][0]}"

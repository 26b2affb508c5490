"""Identify an evaluation by a hash of everything it depends on, and tell whether its net is the published one."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from convatlas.base.errors import ConvAtlasError
from convatlas.base.fingerprint import add_tensors
from convatlas.base.terminal.brief import nested_tuples
from convatlas.images.labelled import LabelledPhoto
from convatlas.nets.net import Net
from convatlas.predict.nets import TrainedNet
from convatlas.weights.formats.native import describe
from convatlas.weights.lineage import lineage
from convatlas.weights.listing import local_path
from convatlas.weights.load import load
from convatlas.weights.registry import choose


def key_of(net: TrainedNet, preprocessing: str, photos: Sequence[LabelledPhoto], classes: Mapping[str, int]) -> str:
    """Return a short hash of everything a result depends on: net, preprocessing, photos and labels.

    Args:
        net: The net, with its weights.
        preprocessing: Name of the lineage whose preprocessing is used.
        photos: Photos with their labels.
        classes: Index of the net's output for each label.
    """
    module = net.module
    definition = module.genome if isinstance(module, Net) else source_files(module)
    settings = nested_tuples((net.lineage, definition, preprocessing, sorted(classes.items())))
    digest = hashlib.sha256(repr((module, settings)).encode())
    add_tensors(digest, module.state_dict().items())
    for photo in photos:
        try:
            info = photo.path.stat()
            state = info.st_size, info.st_mtime_ns
        except OSError:  # a broken link
            state = None
        digest.update(repr((str(photo.path.absolute()), photo.label, state)).encode())
    name = net.name if isinstance(module, Net) else type(module).__name__
    return f"{name}-{digest.hexdigest()[:16]}"


def source_files(net: nn.Module) -> list[str]:
    """Hashes of the files with the code of a user's net, which may change between two evaluations."""
    modules = sorted({type(part).__module__ for part in net.modules()} - {"__main__"})
    paths = (getattr(sys.modules.get(name), "__file__", None) for name in modules if name.partition(".")[0] != "torch")
    return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths if path and os.path.isfile(path)]


def is_published(net: nn.Module) -> bool:
    """Whether a net is the one that its lineage published: the same architecture and bit-identical weights."""
    if not isinstance(net, Net):
        return False
    try:
        row = choose(net.card, net.lineage.name)
        if net.lineage != lineage(row) or not local_path(row).is_file():
            return False
        published = load(net.card, weights=row)
        if describe(net) != describe(published):
            return False
    # The net cannot be described, or the published weights are not in the store.
    except ConvAtlasError:
        return False
    tensors, expected = net.state_dict(), published.state_dict()
    return tensors.keys() == expected.keys() and all(
        tensor.dtype == expected[name].dtype and torch.equal(tensor.cpu(), expected[name])
        for name, tensor in tensors.items()
    )

"""Which net it was, and what it saw: to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch

from convatlas.base.errors import ConvAtlasError
from convatlas.base.fingerprint import add_tensors
from convatlas.images.labelled import Labelled
from convatlas.nets.net import Net
from convatlas.weights.formats.native import describe
from convatlas.weights.lineage import lineage
from convatlas.weights.listing import kept
from convatlas.weights.load import load
from convatlas.weights.registry import choose


def key_of(net: Net, seen_as: str, photos: Sequence[Labelled], numbers: Mapping[str, int]) -> str:
    """A short hash of all that a result depends on: net, preprocessing, photos, and which answers are right."""
    digest = hashlib.sha256(repr((net, net.lineage, net.genome, seen_as, sorted(numbers.items()))).encode())
    add_tensors(digest, net.state_dict().items())
    for photo in photos:
        try:
            told = photo.path.stat()
            state = told.st_size, told.st_mtime_ns
        except OSError:  # a link that leads nowhere
            state = None
        digest.update(repr((str(photo.path.absolute()), photo.label, state)).encode())
    return f"{net.card.name}-{digest.hexdigest()[:16]}"


def is_published(net: Net) -> bool:
    """Whether a net is what its lineage published: made and filled in the same way, to the bit."""
    try:
        row = choose(net.card, net.lineage.name)
        if net.lineage != lineage(row) or not kept(row).is_file():
            return False
        published = load(net.card.name, weights=row.name)
        if describe(net) != describe(published):
            return False
    # What no file can tell, or weights that are not here.
    except ConvAtlasError:
        return False
    here, there = net.state_dict(), published.state_dict()
    return here.keys() == there.keys() and all(
        tensor.dtype == there[name].dtype and torch.equal(tensor.cpu(), there[name]) for name, tensor in here.items()
    )

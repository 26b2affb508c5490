"""Who published weights: for each origin, how its files are got, read and written, and what its nets do otherwise."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import Card
from convatlas.catalogue.lineages import Weights, weights_of

if TYPE_CHECKING:
    from torch import Tensor

    from convatlas.nets.net import Net


class Origin(Protocol):
    """What the module of an origin does: `weights/keras.py`, `weights/torchvision.py`, `weights/timm.py`, ..."""

    def variant(self, weights: Weights) -> Mapping[str, object]:
        """The fields of the net's row that this origin has otherwise: {"stride_in": "second"}."""

    def file(self, weights: Weights) -> Path:
        """The file on this machine, whole and verified; downloaded if it is not here yet."""

    def tensors(self, file: Path, net: Net) -> dict[str, Tensor]:
        """The tensors of a file by our names, in our layouts; `net` (it may be on the meta device) shows what is asked.

        Raises:
            WeightsError: The file is damaged, or holds another net.
        """

    def save(self, net: Net, file: Path) -> None:
        """Writes the net's weights as the origin's own code reads them."""


def origin(name: str) -> Origin:
    """The origin called `name`, one of `catalogue.lineages.ORIGINS`."""
    return cast(Origin, importlib.import_module(f"convatlas.weights.lineages.{'bundled' if name == 'own' else name}"))


def choose(card: Card, name: str | None) -> Weights:
    """The weights of a net by their name; the net's default if None.

    "torchvision" alone is the best of torchvision's (the last of its table), "timm/a1_in1k" that tag; the publisher's
    full name of a net ("timm/resnet50.a1_in1k") is understood too. Capitals do not matter.

    Raises:
        WeightsError: There are none of this name; lists those that there are.
    """
    there = weights_of(card.name)
    if name is None and there:
        return there[0]
    wanted = str(name).lower()
    for row in there:
        if wanted in (row.name.lower(), f"{row.origin}/{row.model}".lower()):
            return row
    same = [row for row in there if row.origin == wanted]
    if same:
        return same[-1] if wanted == "torchvision" else same[0]
    if not there:
        raise WeightsError(f"nobody published weights of {card.name} that are known here")
    known = [row.name for row in there]
    shown = ", ".join(known if len(known) <= 12 else [*known[:12], f"{len(known) - 12} more (convatlas fetch --list)"])
    raise WeightsError(f"no {name!s:.100} weights of {card.name} are known; these are: {shown}")


def variant(card: Card, name: str) -> Mapping[str, object]:
    """What a net that follows the lineage `name` does otherwise than the card's own; nothing for an empty name."""
    if not name:
        return {}
    row = choose(card, name)
    return origin(row.origin).variant(row)

"""Find publishers and weights by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import Card
from convatlas.catalogue.lineages import Weights, weights_of
from convatlas.weights.origin import Origin


def origin(name: str) -> Origin:
    """Publisher of this name, one of `catalogue.lineages.origins()`: the `ORIGIN` of its module in `lineages`."""
    described: Origin = importlib.import_module(f"convatlas.weights.lineages.{name}").ORIGIN
    return described


def choose(card: Card, name: str | None) -> Weights:
    """Find the weights of a net by their name; the net's default if None.

    An origin's name means its preferred weights ("torchvision": the last in its table), "timm/a1_in1k" those with that
    tag; the publisher's full name ("timm/resnet50.a1_in1k") is accepted too. Case is ignored.

    Raises:
        WeightsError: The net has no weights of this name; the text lists those that it has.
    """
    published = weights_of(card.name)
    if name is None and published:
        return published[0]
    key = str(name).lower()
    for row in published:
        if key in (row.name.lower(), f"{row.origin}/{row.model}".lower()):
            return row
    if same := [row for row in published if row.origin == key]:
        return origin(key).preferred(same)
    if not published:
        raise WeightsError(f"no published weights of {card.name} are known")
    names = [row.name for row in published]
    shown = ", ".join(names if len(names) <= 12 else [*names[:12], f"{len(names) - 12} more (convatlas fetch --list)"])
    raise WeightsError(f"no {name!s:.100} weights of {card.name} are known; these are: {shown}")


def variant(card: Card, name: str) -> Mapping[str, object]:
    """Fields of the configuration of a net that follows the lineage `name`, where they differ from the card's."""
    if not name:
        return {}
    row = choose(card, name)
    return origin(row.origin).variant(row)

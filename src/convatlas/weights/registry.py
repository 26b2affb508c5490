"""Find publishers and weights by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Convention:
    """A way in which a publisher's code computes a net.

    Attributes:
        name: Name of published weights, or "ORIGIN/SETTING" for a setting without published weights, such as
            "torchvision/transform_input=False".
        row: Published weights with the same preprocessing of photos.
        variant: Fields of the net's configuration that differ from the card's.
    """

    name: str
    row: Weights
    variant: Mapping[str, object]


def conventions(card: Card) -> list[Convention]:
    """All conventions of a net: one for each of its published weights, and those of settings without weights."""
    ways: list[Convention] = []
    for row in weights_of(card.name):
        source = origin(row.origin)
        ways.append(Convention(row.name, row, source.variant(row)))
        for setting, fields in source.settings(row).items():
            name = f"{row.origin}/{setting}"
            if row.outputs and all(known.name != name for known in ways):
                ways.append(Convention(name, row, fields))
    return ways


def convention(card: Card, name: str) -> Convention:
    """Find a convention of a net by its name, or by the other names of published weights that `choose` takes.

    Raises:
        WeightsError: The net has none of this name.
    """
    known = conventions(card)
    for each in known:
        if each.name.lower() == str(name).lower():
            return each
    row = choose(card, name)
    return next(each for each in known if each.name == row.name)


def variant(card: Card, name: str) -> Mapping[str, object]:
    """Fields of the configuration of a net that follows the convention `name`, where they differ from the card's."""
    return convention(card, name).variant if name else {}

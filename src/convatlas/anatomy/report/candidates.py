"""The nets to choose from, with their accuracy and their costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from convatlas.anatomy.measure.snapshot import measured
from convatlas.catalogue.cards import cards
from convatlas.catalogue.list_nets import figure_value

COSTS = {"parameters": "parameters", "megabytes": "size (MB)", "macs": "MACs", "time": "time (ms)"}
"""Costs that accuracy is weighed against, with their labels."""


@dataclass(frozen=True)
class Candidate:
    """A net to choose from.

    Attributes:
        net: The net's name.
        family: The net's family.
        year: The year of publication.
        photo: Height and width of its photos.
        top1: Published accuracy in percent.
        parameters: Parameters, measured.
        megabytes: Size of the weights at 4 bytes a parameter.
        macs: Multiply-accumulates for one photo, measured.
        time: Milliseconds for one photo on this machine with its fastest engine; None where it was not measured.
        fits: Whether it is within all limits.
        front: Whether it fits, and no other net that fits is as accurate at less cost or more accurate at the same.
    """

    net: str
    family: str
    year: int
    photo: tuple[int, int]
    top1: float
    parameters: int
    megabytes: float
    macs: int
    time: float | None
    fits: bool = True
    front: bool = False

    def cost(self, by: str) -> float:
        """Return its parameters, megabytes, macs or time; infinity where that is unknown."""
        value = getattr(self, by)
        return math.inf if value is None else float(value)

    def cost_text(self, by: str) -> str:
        """Return a cost with its unit."""
        value = self.cost(by)
        return {
            "parameters": f"{value / 1e6:.1f}M parameters",
            "megabytes": f"{value:.0f} MB",
            "macs": f"{value / 1e9:.2f}G MACs",
            "time": f"{value:.1f} ms",
        }[by]


def candidates(times: dict[str, dict[int, float]]) -> Iterator[Candidate]:
    """Yield every net with a published and a measured figure; `times` are milliseconds by net and photo size."""
    for card in cards().values():
        row = measured().get(card.name)
        if row is None or math.isnan(figure_value(card, "top1")):
            continue
        yield Candidate(
            net=card.name,
            family=card.family,
            year=card.year,
            photo=card.input[:2],
            top1=figure_value(card, "top1"),
            parameters=row["parameters"],
            megabytes=4 * row["parameters"] / 1e6,
            macs=row["macs"],
            time=times.get(card.name, {}).get(card.input[0]),
        )

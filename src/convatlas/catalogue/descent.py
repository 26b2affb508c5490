"""The descent of the nets: which series builds on which, what it took over, and what it introduced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convatlas.catalogue.cards import Card, cards, families
from convatlas.catalogue.data_files import read


@dataclass(frozen=True)
class Series:
    """A series: nets that were introduced together.

    Attributes:
        nets: Names of the nets, in the order of the review.
        name: Published name of the first.
        year: Year on their cards, of the first if they differ.
        idea: Year of an older idea behind them, if there is one.
        new: New ideas it introduced.
        parents: First nets of the series it builds on; the first of these is its parent in the tree.
        takes: Ideas it took from its parents.
        depth: Number of ancestors in the tree.
    """

    nets: tuple[str, ...]
    name: str
    year: int
    new: str
    parents: tuple[str, ...]
    takes: str
    idea: int | None = None
    depth: int = 0

    @property
    def began(self) -> int:
        """Year of the idea: its place in time."""
        return self.idea or self.year

    @property
    def dated(self) -> str:
        """The year as cards say it."""
        return cards()[self.nets[0]].dated

    @property
    def title(self) -> str:
        """Name of the first net, and the number of the others."""
        more = len(self.nets) - 1
        return self.name if not more else f"{self.name} and {more} more"


def entries() -> dict[str, dict[str, Any]]:
    """Return the entries `descent` of the families' data files, by a net of the series they describe.

    An entry has `from`, the nets that the series builds on (the first is its parent in the tree), and `takes`, the
    ideas it took from them. Years stand on the cards alone.
    """
    tables = (read(family)["nets"] for family in families())
    return {name: net["descent"] for table in tables for name, net in table.items() if "descent" in net}


def descent() -> list[Series]:
    """Return all series in tree order: each after its parent, siblings by the year of their idea."""
    series: dict[tuple[str, str], list[Card]] = {}
    for card in cards().values():
        series.setdefault((card.family, card.new), []).append(card)
    groups, by_net = list(series.values()), entries()
    first = {card.name: group[0].name for group in groups for card in group}
    return list(_walk([_series(group, groups, first, by_net) for group in groups], "", 0))


def _series(
    group: list[Card], groups: list[list[Card]], first: dict[str, str], by_net: dict[str, dict[str, Any]]
) -> Series:
    # A series without an entry descends from the first of its family.
    default = next(other[0].name for other in groups if other[0].family == group[0].family)
    entry: dict[str, Any] = next((by_net[card.name] for card in group if card.name in by_net), {"from": [default]})
    parents = dict.fromkeys(first[name] for name in entry.get("from", ()))
    return Series(
        nets=tuple(card.name for card in group),
        name=group[0].published_name,
        year=min(card.year for card in group),
        new=group[0].new,
        parents=tuple(name for name in parents if name != group[0].name),
        takes=entry.get("takes", ""),
        idea=group[0].idea,
    )


def _walk(all_series: Sequence[Series], parent: str, depth: int) -> Iterator[Series]:
    children = [series for series in all_series if (series.parents or ("",))[0] == parent]
    for series in sorted(children, key=lambda series: (series.began, series.name)):
        yield replace(series, depth=depth)
        yield from _walk(all_series, series.nets[0], depth + 1)


def tree() -> str:
    """Format the tree as text, one series per line."""
    all_series = descent()
    names = {series.nets[0]: series.name for series in all_series}
    lines: list[str] = []
    for index, series in enumerate(all_series):
        later, branches = [other.depth for other in all_series[index + 1 :]], ""
        for level in range(1, series.depth + 1):
            is_last = next((depth for depth in later if depth <= level), 0) < level
            branches += ("└─ " if is_last else "├─ ") if level == series.depth else ("   " if is_last else "│  ")
        others = ", ".join(names[name] for name in series.parents[1:])
        suffix = f" (also from {others})" if others else ""
        lines.append(f"{branches}{series.dated} {series.title}: {series.new}{suffix}")
    return "\n".join(lines)

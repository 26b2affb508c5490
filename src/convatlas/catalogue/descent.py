"""The descent of the nets: which series builds on which, and what each introduced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convatlas.catalogue.cards import Card, cards, families
from convatlas.catalogue.data_files import read


@dataclass(frozen=True)
class Series:
    """A series of nets, introduced together.

    Attributes:
        nets: Names of the nets, in the order of the review.
        name: Published name of the first.
        year: Year of first publication.
        new: New ideas it introduced.
        parents: Nets it builds on, one of each series; the first is its parent in the tree.
        takes: Ideas it took from them.
        depth: Number of ancestors in the tree.
    """

    nets: tuple[str, ...]
    name: str
    year: int
    new: str
    parents: tuple[str, ...]
    takes: str
    depth: int = 0

    @property
    def title(self) -> str:
        """Name of the first net, and how many more there are."""
        more = len(self.nets) - 1
        return self.name if not more else f"{self.name} and {more} more"


def entries() -> dict[str, dict[str, Any]]:
    """Entries `descent` in the families' data files, by a net of each series.

    An entry has `from`, the nets that the series builds on (the first is its parent in the tree), `takes`, the ideas it
    took from them, and `year` if the kind of net is older or younger than the paper on the card.
    """
    tables = (read(family)["nets"] for family in families())
    return {name: net["descent"] for table in tables for name, net in table.items() if "descent" in net}


def descent() -> list[Series]:
    """All series in tree order: each after its parent, siblings by year."""
    series: dict[tuple[str, str], list[Card]] = {}
    for card in cards().values():
        series.setdefault((card.family, card.new), []).append(card)
    groups, described = list(series.values()), entries()
    home = {card.name: group[0].name for group in groups for card in group}
    lines = [_line(group, groups, home, described) for group in groups]
    return list(_walk(lines, "", 0))


def _line(
    group: list[Card], groups: list[list[Card]], home: dict[str, str], described: dict[str, dict[str, Any]]
) -> Series:
    # A series without an entry stands with the first of its family.
    kin = next(other[0].name for other in groups if other[0].family == group[0].family)
    entry: dict[str, Any] = next((described[card.name] for card in group if card.name in described), {"from": [kin]})
    parents = dict.fromkeys(home[name] for name in entry.get("from", ()))
    return Series(
        nets=tuple(card.name for card in group),
        name=group[0].published_name,
        year=entry.get("year", min(card.year for card in group)),
        new=group[0].new,
        parents=tuple(name for name in parents if name != group[0].name),
        takes=entry.get("takes", ""),
    )


def _walk(lines: Sequence[Series], parent: str, depth: int) -> Iterator[Series]:
    children = [line for line in lines if (line.parents or ("",))[0] == parent]
    for line in sorted(children, key=lambda line: (line.year, line.name)):
        yield replace(line, depth=depth)
        yield from _walk(lines, line.nets[0], depth + 1)


def tree() -> str:
    """The tree as text, one series per line."""
    lines = descent()
    names = {line.nets[0]: line.name for line in lines}
    texts: list[str] = []
    for at, line in enumerate(lines):
        bars = ""
        for level in range(1, line.depth + 1):
            later = [other.depth for other in lines[at + 1 :]]
            ends = next((depth for depth in later if depth <= level), 0) < level
            bars += ("└─ " if ends else "├─ ") if level == line.depth else ("   " if ends else "│  ")
        also = ", ".join(names[name] for name in line.parents[1:])
        texts.append(f"{bars}{line.year} {line.title}: {line.new}{f' (also from {also})' if also else ''}")
    return "\n".join(texts)

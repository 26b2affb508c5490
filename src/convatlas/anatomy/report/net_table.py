"""List all nets in one table, published figures beside measured ones; needs no torch."""

from __future__ import annotations

from typing import Any

from convatlas.anatomy.measure.snapshot import measured
from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.base.store.timings import best_times
from convatlas.base.tables import Column, Table, plain
from convatlas.catalogue.cards import find_card
from convatlas.catalogue.list_nets import NUMBERS, list_nets
from convatlas.catalogue.printed import parse_figure


def _millions(value: int | None) -> str:
    if value is None:
        return ""
    return f"{value / 1e6:.1f}M" if value >= 1e6 else f"{value / 1e3:.1f}K"


def _billions(value: int | None) -> str:
    if value is None:
        return ""
    return f"{value / 1e9:.2f}G" if value >= 1e8 else f"{value / 1e6:.2f}M"


def _percent(printed: str | None) -> str:
    """Return a share with one decimal, as most publications print it; values of the table are as printed."""
    return "" if printed is None else f"{parse_figure(printed):.1f}%"


COLUMNS = (
    Column("name", "net"),
    Column("family", "family"),
    Column("year", "year", str),
    Column("input", "input", plain),
    Column("depth", "depth"),
    Column("parameters", "parameters", _millions),
    Column("macs", "MACs", _billions),
    Column("size", "size (MB, published)"),
    Column("top1", "top-1 (published)", _percent),
    Column("top5", "top-5 (published)", _percent),
    Column("lineages", "weights", lambda names: ", ".join(names)),
)
TIME = Column("time", "time (ms)", lambda time: "" if time is None else f"{time:.1f}")
"""Column that is shown if `bench` has measured times."""

MEASURED = ("depth", "parameters", "macs")
ORDERS = tuple(dict.fromkeys(("name", "family", "year", *NUMBERS, *MEASURED)))


def net_table(
    *,
    family: str | None = None,
    year: str | None = None,
    max_parameters: str | None = None,
    min_top1: float | None = None,
    lineage: str | None = None,
    sort: str = "family",
) -> Table:
    """Return the nets that fit every filter, one a row; filters as in `list_nets`, `year` as "2016" or "2014-2016".

    Raises:
        UnknownName: There is no such family, lineage or order.
        ConvAtlasError: A limit or year is invalid.
    """
    order = sort.removeprefix("-")
    if order not in ORDERS:
        raise unknown("order", sort, ORDERS)
    chosen = list_nets(
        family=family,
        year=parse_years(year) if year else None,
        max_parameters=max_parameters,
        min_top1=min_top1,
        lineage=lineage,
        sort="family" if order in MEASURED else sort,
    )
    rows: list[dict[str, Any]] = []
    for card in chosen:
        figures = {
            column: card.figures[column].printed for column in ("size", "top1", "top5") if column in card.figures
        }
        # A net that is newer than the snapshot has blanks; measuring it here would need torch.
        row = {key: measured().get(card.name, {}).get(key) for key in MEASURED}
        rows.append(
            {"name": card.name, "family": card.family, "year": card.year, "input": card.input}
            | row
            | figures
            | {"lineages": card.lineages}
        )
    if order in MEASURED:
        blank = [row for row in rows if row[order] is None]
        known = [row for row in rows if row[order] is not None]
        rows = [*sorted(known, key=lambda row: row[order], reverse=sort.startswith("-")), *blank]
    title = f"{len(rows)} nets; depth, parameters and MACs are measured"
    ideas: dict[int, list[str]] = {}
    for card in chosen:
        if card.idea:
            ideas.setdefault(card.idea, []).append(card.name)
    notes = tuple(f"idea {year}: {', '.join(names)}" for year, names in sorted(ideas.items()))
    times = best_times()
    if not any(card.name in times for card in chosen):
        return Table(COLUMNS, rows, title=title, notes=notes)
    for row, card in zip(rows, (find_card(row["name"]) for row in rows), strict=True):
        row["time"] = times.get(card.name, {}).get(card.input[0])
    return Table((*COLUMNS, TIME), rows, title=title, notes=(*notes, "time: for one photo on this machine, by `bench`"))


def parse_years(text: str) -> int | tuple[int, int]:
    first, _, last = text.partition("-")
    if not first.isdecimal() or (last and not last.isdecimal()):
        raise ConvAtlasError(f"a year is written as 2016, a range as 2014-2016; got {text!r}")
    return (int(first), int(last)) if last else int(first)

"""Check published figures against measured ones, and name the rule by which each was printed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.measure.records import Measurement
from convatlas.base.errors import ConvAtlasError
from convatlas.base.records import TableRecord
from convatlas.base.store.evaluations import evaluations_of
from convatlas.base.tables import Column, Table, plain
from convatlas.catalogue.cards import Card, Figure, cards, find_card
from convatlas.catalogue.printed import parse_figure
from convatlas.catalogue.rules import MIB, exceptions, explain

SAME = "the same"
NOT_HERE = "not measured here"
ACCURACIES = ("top1", "top5")
ERRORS = (
    "top1_error",
    "top5_error",
    "error",
    "error_distorted",
    "error_deslanted",
    "error_summary",
    "error_repeated",
    "error_smallnorb",
    "error_smallnorb_repeated",
)
UNMEASURED = (*ACCURACIES, "map_voc", "map_coco", *ERRORS)
NOT_PUBLISHED = "blank in the published table, filled by measurement"


@dataclass(frozen=True)
class Cell:
    """One published figure beside the measured one.

    Attributes:
        net: The net's name.
        column: The figure's column.
        published: The figure as printed; None where nothing is printed.
        source: Where it was printed; None where nothing is printed.
        measured: The measured number, shape or word; None where nothing was measured.
        difference: Measured minus published, as a share of the published number; None unless both are numbers.
        rule: The rule that turns the measured number into the printed characters, or why there is none.
        explained: Whether a rule explains the figure, or it stands in the closed list of exceptions.
    """

    net: str
    column: str
    published: str | None
    source: str | None
    measured: float | str | tuple[int, ...] | None
    difference: float | None
    rule: str
    explained: bool


@dataclass(frozen=True)
class Check(TableRecord):
    """All cells of one net."""

    net: str
    cells: tuple[Cell, ...]

    @property
    def unexplained(self) -> tuple[Cell, ...]:
        """Cells that no rule and no exception explains."""
        return tuple(cell for cell in self.cells if not cell.explained)

    def table(self) -> Table:
        """Return a table with a row for each figure."""
        return table([self])

    def __str__(self) -> str:
        lines = [f"{cell.column}: {cell.published} | {_shown(cell.measured)} | {cell.rule}" for cell in self.cells]
        return "\n".join([self.net, *(f"  {line}" for line in lines)])


def check(name: str) -> Check:
    """Check the published figures of a net against what is measured now.

    Raises:
        UnknownName: The net is unknown.
    """
    card = find_card(name)
    anatomy = measure(card.name)
    figures = {column: figure for column, figure in card.figures.items() if column != "perk"}
    cells = [_cell(card, column, figure, anatomy) for column, figure in figures.items()]
    if "depth" not in figures:
        cells.insert(0, Cell(card.name, "depth", None, None, anatomy.depth, None, NOT_PUBLISHED, True))
    return Check(card.name, tuple(cells))


def checks(names: Sequence[str]) -> Iterator[Check]:
    """Yield the check of each net as soon as it is done."""
    return (check(name) for name in names)


def names(nets: Sequence[str]) -> list[str]:
    """Return the names of nets in the atlas's spelling, each once; all of the atlas for an empty sequence.

    Raises:
        UnknownName: A name is unknown.
    """
    return list(dict.fromkeys(find_card(name).name for name in nets)) or list(cards())


def _cell(card: Card, column: str, figure: Figure, anatomy: Measurement) -> Cell:
    measured = _measured(column, anatomy)
    rule, explained, unit = _rule(card, column, figure.printed, anatomy)
    if column in ACCURACIES and (evaluation := _evaluated(card.name)) is not None:
        measured, rule = evaluation[column], _evaluation_rule(column, evaluation)
    if column == "size":
        measured = 4 * anatomy.parameters / unit
    difference = _difference(figure.printed, measured)
    return Cell(card.name, column, figure.printed, figure.source, measured, difference, rule, explained)


def _evaluated(net: str) -> dict[str, Any] | None:
    """Return the latest evaluation of a net with its weights' own preprocessing, None if there is none."""
    own = [record for record in evaluations_of(net) if record["preprocessing"] == record["weights"]]
    return own[-1] if own else None


def _evaluation_rule(column: str, evaluation: Mapping[str, Any]) -> str:
    low, high = evaluation[f"{column}_interval"]
    photos = f"{evaluation['photos']} photos of {evaluation['classes']} classes in {evaluation['data']}"
    return f"{evaluation['weights']} weights on {photos}, 95 % interval {low:.2f} to {high:.2f}"


def _measured(column: str, anatomy: Measurement) -> float | str | tuple[int, ...] | None:
    """Return the measured value of a column; the size of the weights is in bytes."""
    channels, height, width = anatomy.input
    values: dict[str, float | str | tuple[int, ...]] = {
        "depth": anatomy.depth,
        "layers": anatomy.path,
        "parameters": anatomy.parameters,
        "parameters_short": anatomy.parameters,
        "size": 4 * anatomy.parameters,
        "flops": anatomy.macs,
        "madds": anatomy.macs,
        "connections": anatomy.connections,
        "units": anatomy.units,
        "input": (height, width, channels),
        "output": anatomy.output[0],
        "activation": anatomy.activation,
    }
    return values.get(column)


def _rule(card: Card, column: str, printed: str, anatomy: Measurement) -> tuple[str, bool, float]:
    """Return the rule behind a figure or why there is none, whether it is explained, and the unit it is printed in."""
    for exception in exceptions():
        if (exception.net, exception.column, exception.printed) == (card.name, column, printed):
            return f"exception: {exception.why}", True, MIB
    measured = _measured(column, anatomy)
    if measured is None:
        return NOT_HERE, column in UNMEASURED, 1
    is_exact = isinstance(measured, str | tuple) or column == "output"
    if is_exact and printed == ("×".join(map(str, measured)) if isinstance(measured, tuple) else str(measured)):
        return SAME, True, 1
    numbers = {
        "parameters": anatomy.parameters,
        "trainable": anatomy.trainable,
        "depth": anatomy.depth,
        "main_path": anatomy.path,
        "macs": anatomy.macs,
        "connections": anatomy.connections,
        "units": anatomy.units,
        "activation": anatomy.activation,
    }
    rule = explain(column, printed, numbers, card.weight_names)
    if rule is not None:
        return rule.name, True, rule.unit
    return "differs" if is_exact else "no rule", False, MIB


def _difference(printed: str, measured: object) -> float | None:
    if not isinstance(measured, int | float):
        return None
    try:
        published = parse_figure(printed)
    except ConvAtlasError:
        return None
    return None if math.isnan(published) or not published else measured / published - 1


def _shown(measured: object) -> str:
    return NOT_HERE if measured is None else f"{measured:,.1f}" if isinstance(measured, float) else plain(measured)


COLUMNS = (
    Column("net", "net"),
    Column("column", "figure"),
    Column("published", "published", lambda printed: "-" if printed is None else printed),
    Column("measured", "measured", _shown),
    Column("difference", "difference", lambda share: "" if share is None else f"{share:+.2%}"),
    Column("rule", "rule"),
)


def table(reports: Sequence[Check]) -> Table:
    """Return a table with a row for each figure."""
    cells = [cell for report in reports for cell in report.cells]
    rows = [{column.key: getattr(cell, column.key) for column in COLUMNS} for cell in cells]
    unexplained = sum(len(report.unexplained) for report in reports)
    nets = f"{len(reports)} nets" if len(reports) != 1 else "1 net"
    listed = sum(cell.rule.startswith("exception") for cell in cells)
    note = (
        f"{len(cells)} figures of {nets}: {unexplained} unexplained, {listed} on the list of exceptions. "
        "Size is 4 bytes a parameter, without the overhead of a file, in the unit of its rule; "
        "MACs are multiply-accumulates, which papers call FLOPs."
    )
    return Table(COLUMNS, rows, title="published against measured", notes=(note,))

"""Choose a net: the front of those that no other net beats in accuracy at the same cost, and one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from convatlas.anatomy.report.bubble_chart import bubble_chart
from convatlas.anatomy.report.candidates import COSTS, Candidate, candidates
from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.base.records import TableRecord
from convatlas.base.store.timings import best_times
from convatlas.base.tables import Column, Table, plain
from convatlas.catalogue.printed import parse_figure
from convatlas.pictures.picture import Picture

TOLERANCE = 1.0
"""Percentage points of top-1 accuracy by which a cheaper net may be behind and still be recommended."""


@dataclass(frozen=True)
class Choice(TableRecord):
    """Candidates from the most accurate down, the cost they are compared by, the recommended net and the reason."""

    by: str
    candidates: tuple[Candidate, ...]
    recommended: str | None
    why: str

    @property
    def front(self) -> tuple[Candidate, ...]:
        """Candidates on the front, from the most accurate down."""
        return tuple(net for net in self.candidates if net.front)

    def table(self) -> Table:
        """Return the front, one net a row."""
        rows = [vars(net) | {"choice": "recommended" if net.net == self.recommended else ""} for net in self.front]
        count = "1 net" if len(rows) == 1 else f"{len(rows)} nets"
        title = f"accuracy against {COSTS[self.by]}: {count} that no other beats"
        return Table(COLUMNS, rows, title=title, notes=(self.why,))

    def draw(self) -> Picture:
        """Draw a bubble chart: cost to the right, accuracy upwards, the area of a disc the size of the weights."""
        return bubble_chart(self.candidates, self.by, self.recommended, self.why)

    def __str__(self) -> str:
        return self.why


COLUMNS = (
    Column("net", "net"),
    Column("year", "year", str),
    Column("photo", "photo", plain),
    Column("top1", "top-1 (published)", lambda share: f"{share:.1f}%"),
    Column("parameters", "parameters", lambda number: f"{number / 1e6:.1f}M"),
    Column("megabytes", "size (MB)", lambda size: f"{size:.0f}"),
    Column("macs", "MACs", lambda number: f"{number / 1e9:.2f}G"),
    Column("time", "time (ms)", lambda time: "" if time is None else f"{time:.1f}"),
    Column("choice", "choice"),
)


def choose(
    *,
    max_parameters: float | str | None = None,
    max_megabytes: float | None = None,
    max_macs: float | str | None = None,
    max_ms: float | None = None,
    min_top1: float | None = None,
    size: int | None = None,
    by: str | None = None,
) -> Choice:
    """Return the nets that no other beats: none is as accurate at less cost, or more accurate at the same cost.

    Accuracies are those published for ImageNet, at the photo size on each net's card.

    Args:
        max_parameters: Most parameters, as a number or "10M".
        max_megabytes: Largest size of the weights at 4 bytes a parameter.
        max_macs: Most multiply-accumulates for one photo, as a number or "4B".
        max_ms: Most milliseconds for one photo on this machine, as measured by `convatlas bench`.
        min_top1: Least top-1 accuracy in percent.
        size: Longest side of the nets' photos in pixels.
        by: The cost: "parameters", "megabytes", "macs" or "time"; time if `max_ms` is given, else parameters.

    Raises:
        UnknownName: There is no such cost.
        ConvAtlasError: A limit is not a positive number, or times are needed and none were measured.
    """
    by = by or ("time" if max_ms is not None else "parameters")
    if not isinstance(by, str) or by not in COSTS:
        raise unknown("cost", by, COSTS)
    limits = {
        "parameters": _limit("max_parameters", max_parameters),
        "megabytes": _limit("max_megabytes", max_megabytes),
        "macs": _limit("max_macs", max_macs),
        "time": _limit("max_ms", max_ms),
    }
    _limit("size", size)
    if min_top1 is not None and not (_is_number(min_top1) and 0 <= min_top1 <= 100):
        raise ConvAtlasError(f"min_top1 is an accuracy in percent, 0 to 100; got {min_top1!r}")
    times = best_times()
    if (by == "time" or max_ms is not None) and not times:
        raise ConvAtlasError("no times were measured on this machine yet: run `convatlas bench`")
    checked = [replace(net, fits=_fits(net, limits, min_top1, size, by)) for net in candidates(times)]
    marked = [replace(net, front=net.fits and not _beaten(net, checked, by)) for net in checked]
    marked.sort(key=lambda net: (-net.top1, net.cost(by), net.net))
    front = [net for net in marked if net.front]
    recommended, why = _recommended(front, by, incomplete=max_ms is not None and len(times) < len(marked))
    return Choice(by, tuple(marked), recommended, why)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _fits(net: Candidate, limits: dict[str, float], min_top1: float | None, size: int | None, by: str) -> bool:
    within = all(net.cost(cost) <= limit for cost, limit in limits.items()) and net.cost(by) < math.inf
    return within and (min_top1 is None or net.top1 >= min_top1) and (size is None or max(net.photo) <= size)


def _beaten(net: Candidate, others: Sequence[Candidate], by: str) -> bool:
    return any(
        other.fits
        and other.top1 >= net.top1
        and other.cost(by) <= net.cost(by)
        and (other.top1, -other.cost(by)) != (net.top1, -net.cost(by))
        for other in others
    )


def _recommended(front: Sequence[Candidate], by: str, incomplete: bool) -> tuple[str | None, str]:
    """Return the cheapest net on the front that is nearly as accurate as the best, and the reason."""
    if not front:
        return None, "no net is within all these limits"
    best = front[0]
    cheapest = min((net for net in front if net.top1 >= best.top1 - TOLERANCE), key=lambda net: net.cost(by))
    why = f"{cheapest.net}: {cheapest.top1:.1f}% with {cheapest.cost_text(by)}"
    if cheapest is not best:
        why += f", the cheapest within {TOLERANCE:g} point of the best that fits ({best.net}: {best.top1:.1f}%, "
        why += f"{best.cost_text(by)})"
    elif len(front) > 1:
        why += f", the most accurate that fits; every cheaper one on the front is more than {TOLERANCE:g} point behind"
    else:
        why += ", as accurate and as cheap as any other that fits"
    return cheapest.net, why + ("; nets without a measured time were left out" if incomplete else "")


def _limit(name: str, limit: float | str | None) -> float:
    """Return a limit as a number, infinity for None."""
    if limit is None:
        return math.inf
    number = parse_figure(limit) if isinstance(limit, str) else limit
    if not _is_number(number) or number <= 0:
        raise ConvAtlasError(f"{name} is a number above 0; got {limit!r}")
    return float(number)

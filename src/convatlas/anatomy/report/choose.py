"""Choosing a net: those that no other net beats in accuracy at the same cost, and one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from convatlas.anatomy.measure.snapshot import measured
from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.base.records import Record
from convatlas.base.tables import Column, Table, plain
from convatlas.base.timings import best
from convatlas.catalogue.cards import Card, cards
from convatlas.catalogue.listing import figure
from convatlas.catalogue.printed import value

if TYPE_CHECKING:
    from convatlas.pictures.picture import Picture

COSTS = {"parameters": "parameters", "megabytes": "size (MB)", "macs": "MACs", "time": "time (ms)"}
"""What accuracy is held against, and how it is called."""

NEAR = 1.0
"""Percentage points of top-1 accuracy that a cheaper net may stay behind the best one and still be recommended."""


@dataclass(frozen=True)
class Candidate:
    """A net to choose from.

    Attributes:
        net: Its name.
        family: Its family.
        year: When it was made public.
        photo: Height and width of its photos.
        top1: Published accuracy in percent.
        parameters: Measured.
        megabytes: Of its weights at 4 bytes a parameter.
        macs: Measured multiply-accumulates for one photo.
        time: Milliseconds for one photo on this machine, by its fastest engine; None where it was not measured.
        fits: Whether it keeps all limits.
        front: Whether it fits, and none that fits is as accurate at less cost or more accurate at the same.
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
        """Its parameters, megabytes, macs or time; infinite where that is not known."""
        found = getattr(self, by)
        return math.inf if found is None else float(found)


@dataclass(frozen=True)
class Choice(Record):
    """Candidates from the most accurate down, the cost they are held to, and the one that is recommended, and why."""

    by: str
    candidates: tuple[Candidate, ...]
    recommended: str | None
    why: str

    @property
    def front(self) -> tuple[Candidate, ...]:
        """The candidates on the front, from the most accurate down."""
        return tuple(one for one in self.candidates if one.front)

    def table(self) -> Table:
        """The front, one net a row."""
        rows = [vars(one) | {"choice": "recommended" if one.net == self.recommended else ""} for one in self.front]
        many = "1 net" if len(rows) == 1 else f"{len(rows)} nets"
        title = f"accuracy against {COSTS[self.by]}: {many} that no other beats"
        return Table(COLUMNS, rows, title=title, notes=(self.why,))

    def draw(self) -> Picture:
        """A bubble chart: cost from left to right, accuracy upwards, the area of a disc the size of the weights."""
        from convatlas.anatomy.drawing.chart import chart

        return chart(self)

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
    """The nets that no other beats: as accurate at less cost, or more accurate at the same.

    Accuracies are those published for ImageNet, at the size of photo that each net's card gives.

    Args:
        max_parameters: At most so many, as a number or "10M".
        max_megabytes: Of the weights at 4 bytes a parameter.
        max_macs: Multiply-accumulates for one photo, as a number or "4B".
        max_ms: Milliseconds for one photo on this machine, as `convatlas bench` measured them.
        min_top1: In percent.
        size: Only nets whose photos have sides of at most so many pixels.
        by: The cost: "parameters", "megabytes", "macs" or "time"; time if `max_ms` is said, else parameters.

    Raises:
        UnknownName: No such cost.
        ConvAtlasError: A limit that is no number; times are asked for and none were measured.
    """
    by = by or ("time" if max_ms is not None else "parameters")
    if by not in COSTS:
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
    times = best()
    if (by == "time" or max_ms is not None) and not times:
        raise ConvAtlasError("no times were measured on this machine yet: run `convatlas bench`")
    found = [_candidate(card, times) for card in cards().values() if _comparable(card)]
    checked = [_with(one, fits=_fits(one, limits, min_top1, size, by)) for one in found]
    marked = [_with(one, front=one.fits and not _beaten(one, checked, by)) for one in checked]
    marked.sort(key=lambda one: (-one.top1, one.cost(by), one.net))
    chosen, why = _recommended(
        [one for one in marked if one.front], by, max_ms is not None and len(times) < len(marked)
    )
    return Choice(by, tuple(marked), chosen, why)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _comparable(card: Card) -> bool:
    """Whether the card has an accuracy, and the net stands in the snapshot of measured figures."""
    return card.name in measured() and not math.isnan(figure(card, "top1"))


def _candidate(card: Card, times: dict[str, dict[int, float]]) -> Candidate:
    row = measured()[card.name]
    return Candidate(
        net=card.name,
        family=card.family,
        year=card.year,
        photo=card.input[:2],
        top1=figure(card, "top1"),
        parameters=row["parameters"],
        megabytes=4 * row["parameters"] / 1e6,
        macs=row["macs"],
        time=times.get(card.name, {}).get(card.input[0]),
    )


def _with(one: Candidate, **changes: Any) -> Candidate:
    return Candidate(**{**vars(one), **changes})


def _fits(one: Candidate, limits: dict[str, float], min_top1: float | None, size: int | None, by: str) -> bool:
    known = all(one.cost(cost) <= limit for cost, limit in limits.items()) and one.cost(by) < math.inf
    return known and (min_top1 is None or one.top1 >= min_top1) and (size is None or max(one.photo) <= size)


def _beaten(one: Candidate, others: Sequence[Candidate], by: str) -> bool:
    return any(
        other.fits
        and other.top1 >= one.top1
        and other.cost(by) <= one.cost(by)
        and (other.top1, -other.cost(by)) != (one.top1, -one.cost(by))
        for other in others
    )


def _recommended(front: Sequence[Candidate], by: str, partly: bool) -> tuple[str | None, str]:
    """The cheapest on the front that is nearly as accurate as the best, and the reason."""
    if not front:
        return None, "no net keeps all these limits"
    best = front[0]
    chosen = min((one for one in front if one.top1 >= best.top1 - NEAR), key=lambda one: one.cost(by))
    told = f"{chosen.net}: {chosen.top1:.1f}% with {_cost(chosen, by)}"
    if chosen is best:
        why = f"{told}, the most accurate that fits; the next one in cost is more than {NEAR:g} point behind"
        why = why if len(front) > 1 else f"{told}, which no other that fits comes near"
    else:
        why = f"{told}, the cheapest within {NEAR:g} point of the best that fits ({best.net}: {best.top1:.1f}%, "
        why += f"{_cost(best, by)})"
    return chosen.net, why + ("; nets without a measured time were left out" if partly else "")


def _cost(one: Candidate, by: str) -> str:
    value = one.cost(by)
    return {
        "parameters": f"{value / 1e6:.1f}M parameters",
        "megabytes": f"{value:.0f} MB",
        "macs": f"{value / 1e9:.2f}G MACs",
        "time": f"{value:.1f} ms",
    }[by]


def _limit(what: str, limit: float | str | None) -> float:
    """A limit as a number; infinite if there is none."""
    if limit is None:
        return math.inf
    number = value(limit) if isinstance(limit, str) else limit
    if not _is_number(number) or number <= 0:
        raise ConvAtlasError(f"{what} is a number above 0; got {limit!r}")
    return float(number)

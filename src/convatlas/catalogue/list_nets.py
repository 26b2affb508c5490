"""Filter and sort the cards."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.catalogue.cards import Card, cards, families, study_cards, study_families
from convatlas.catalogue.printed import parse_figure

NUMBERS = ("depth", "parameters", "size", "top1", "top5", "flops", "madds")
"""Numeric columns of the cards that can be sorted by."""


def list_nets(
    *,
    family: str | None = None,
    year: int | tuple[int, int] | None = None,
    max_parameters: float | str | None = None,
    min_top1: float | str | None = None,
    lineage: str | None = None,
    sort: str = "name",
) -> list[Card]:
    """Return the cards of all nets that pass every filter on their published facts.

    A net without a figure does not pass a filter on it, and comes last in a sort by it, in either direction.

    Args:
        family: Family, such as "resnet". "cifar_resnet" has nets that only studies use; they are not listed otherwise.
        year: Year on the card, or the first and last of a range.
        max_parameters: Largest number of parameters, as a count (25e6) or as printed ("25M").
        min_top1: Lowest top-1 accuracy, in percent (80) or as printed ("80%").
        lineage: Publisher of weights, such as "lite".
        sort: "name", "family" (the review's order), "year", "depth", "parameters", "size", "top1", "top5", "flops"
            or "madds", smallest first; with a leading minus ("-top1"), largest first.

    Returns:
        Cards; those that the sort does not distinguish are in the order of the review.

    Raises:
        UnknownName: An unknown family, lineage or sort order.
        ConvAtlasError: A limit or year that is not a number.
    """
    chosen = list(cards().values())
    if family is not None:
        known = [*families(), *study_families()]
        if not isinstance(family, str) or family.lower() not in known:
            raise unknown("family", family, known)
        chosen += study_cards().values()
        chosen = [card for card in chosen if card.family == family.lower()]
    if lineage is not None:
        lineages = {name for card in cards().values() for name in card.lineages}
        if not isinstance(lineage, str) or lineage.lower() not in lineages:
            raise unknown("lineage", lineage, lineages)
        chosen = [card for card in chosen if lineage.lower() in card.lineages]
    if year is not None:
        first, last = _years(year)
        chosen = [card for card in chosen if first <= card.year <= last]
    if max_parameters is not None:
        limit = _limit(max_parameters)
        chosen = [card for card in chosen if figure_value(card, "parameters") <= limit]
    if min_top1 is not None:
        limit = _limit(min_top1)
        chosen = [card for card in chosen if figure_value(card, "top1") >= limit]
    return _sorted(chosen, sort)


def figure_value(card: Card, column: str) -> float:
    """Return the number printed in a column of a card, nan if nothing was printed."""
    return parse_figure(card.figures[column].printed) if column in card.figures else math.nan


def _limit(limit: float | str) -> float:
    if isinstance(limit, str):
        return parse_figure(limit)
    if not isinstance(limit, int | float) or isinstance(limit, bool):
        raise ConvAtlasError(f"a limit is a number, as 25e6, or a text, as '25M'; got {limit!r:.100}")
    return float(limit)


def _years(year: int | tuple[int, int]) -> tuple[int, int]:
    pair = year if isinstance(year, tuple | list) else (year, year)
    if len(pair) != 2 or not all(isinstance(end, int) for end in pair):
        raise ConvAtlasError(f"a year is a whole number, or a range is a pair (first, last); got {year!r:.100}")
    return pair[0], pair[1]


def _sorted(chosen: list[Card], sort: str) -> list[Card]:
    descending, column = str(sort).startswith("-"), str(sort).removeprefix("-")
    if column in NUMBERS:
        missing = [card for card in chosen if math.isnan(figure_value(card, column))]
        present = [card for card in chosen if not math.isnan(figure_value(card, column))]
        return sorted(present, key=lambda card: figure_value(card, column), reverse=descending) + missing
    if column == "family":
        return chosen[::-1] if descending else chosen
    keys: dict[str, Callable[[Card], tuple[str | int, ...]]] = {
        "name": lambda card: _natural(card.name),
        "year": lambda card: (card.year,),
    }
    if column not in keys:
        raise unknown("order", sort, ("name", "family", "year", *NUMBERS))
    return sorted(chosen, key=keys[column], reverse=descending)


def _natural(name: str) -> tuple[str | int, ...]:
    """Split a name into words and numbers, so that resnet50 sorts before resnet101."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name))

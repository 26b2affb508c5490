"""Accuracies measured on this machine, which `check` shows; one file per net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convatlas.base.locking import locked, unusable
from convatlas.base.store.remote import home
from convatlas.base.store.sealed import read_sealed_json, write_sealed_json

REQUIRED: dict[str, type] = {
    "key": str,
    "weights": str,
    "preprocessing": str,
    "data": str,
    "photos": int,
    "classes": int,
    "top1": float,
    "top5": float,
}
"""Fields of an evaluation that `check` reads, and their types."""

INTERVALS = ("top1_interval", "top5_interval")
"""Fields that `check` reads too: two bounds each."""


def evaluations_of(net: str) -> list[dict[str, Any]]:
    """Return the evaluations of a net, the latest last; an empty list if there are none or the file is damaged."""
    try:
        entries = read_sealed_json(home() / "evaluated" / f"{net}.json")
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if _is_valid(entry)] if isinstance(entries, list) else []


def _is_valid(entry: object) -> bool:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), kind) for name, kind in REQUIRED.items()):
        return False
    bounds = [bound for name in INTERVALS if isinstance(entry.get(name), list) for bound in entry[name]]
    return len(bounds) == 4 and all(isinstance(bound, float) for bound in bounds)


def add_evaluation(net: str, evaluation: Mapping[str, Any]) -> None:
    """Add an evaluation, replacing an earlier one with the same key.

    Raises:
        StoreError: The store cannot be written.
    """
    path = home() / "evaluated" / f"{net}.json"
    with locked(path):
        others = [entry for entry in evaluations_of(net) if entry["key"] != evaluation["key"]]
        try:
            write_sealed_json(path, [*others, evaluation])
        except OSError as error:
            raise unusable(path, error) from None

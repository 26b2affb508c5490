"""Times measured on this machine, which `list` and `choose` show; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from convatlas.base.locking import locked, unusable
from convatlas.base.machine import cpu
from convatlas.base.store.remote import home
from convatlas.base.store.sealed import read_sealed_json, write_sealed_json

FILE = "bench.json"


def add_times(rows: Sequence[Mapping[str, Any]]) -> None:
    """Add times to the file in the store; earlier ones of the same measurement and those of another CPU are deleted.

    Args:
        rows: Times in "milliseconds"; "net", "size", "batch", "engine" and "precision" say what was measured.

    Raises:
        StoreError: The store cannot be written.
    """
    path = home() / FILE
    with locked(path):
        try:
            before = read_sealed_json(path)
        except (OSError, ValueError):
            before = None
        fresh = [{**row, "cpu": cpu()} for row in rows]
        replaced = {_measurement(row) for row in fresh}
        kept = [
            row
            for row in (before if isinstance(before, list) else [])
            if isinstance(row, dict) and row.get("cpu") == cpu() and _measurement(row) not in replaced
        ]
        try:
            write_sealed_json(path, [*kept, *fresh])
        except OSError as error:
            raise unusable(path, error) from None


def best_times() -> dict[str, dict[int, float]]:
    """Return the least milliseconds per photo of each net, by the photo's side in pixels; empty if none are stored."""
    try:
        rows = read_sealed_json(home() / FILE)
    except (OSError, ValueError):
        return {}
    times: dict[str, dict[int, float]] = {}
    for row in rows if isinstance(rows, list) else []:
        net, side, time = (row.get(key) if isinstance(row, dict) else None for key in ("net", "size", "milliseconds"))
        # Rows that do not hold the time of a net are skipped.
        if isinstance(net, str) and _is_number(side) and _is_number(time) and 0 < time < math.inf:
            sides = times.setdefault(net, {})
            sides[int(side)] = min(float(time), sides.get(int(side), math.inf))
    return times


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _measurement(row: Mapping[str, Any]) -> tuple[Any, ...]:
    # As text, since a damaged row may hold anything.
    return tuple(str(row.get(name)) for name in ("net", "size", "batch", "engine", "precision"))

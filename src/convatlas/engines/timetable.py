"""The times that were measured on this machine, in the store, where `list` and `choose` find them. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convatlas.anatomy.choosing import RECORD
from convatlas.base.atomic import read_json, write_bytes
from convatlas.base.store import home, locked
from convatlas.engines.machine import cpu
from convatlas.engines.setting import PRECISIONS

if TYPE_CHECKING:
    from convatlas.engines.benching import Time


def keep(times: Sequence[Time]) -> None:
    """Adds times to the record, in the place of earlier ones of the same; those of another CPU are dropped.

    Rows of one photo at a time in float32, by an engine of ours, have "milliseconds", which `choose` reads; all have
    the "call".
    """
    path = home() / RECORD
    with locked(path):
        try:
            before = read_json(path)
        except (OSError, ValueError):
            before = []
        fresh = [_row(one) for one in times]
        same = {_key(row) for row in fresh}
        kept = [row for row in before if isinstance(row, dict) and row.get("cpu") == cpu() and _key(row) not in same]
        write_bytes(path, json.dumps([*kept, *fresh], indent=1).encode())


def _row(time: Time) -> dict[str, Any]:
    row: dict[str, Any] = vars(time) | {"photos_per_second": time.photos_per_second, "cpu": cpu()}
    if time.batch == 1 and time.precision == "float32" and time.engine in PRECISIONS:
        row["milliseconds"] = time.milliseconds
    return row


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("net", "size", "batch", "engine", "precision"))

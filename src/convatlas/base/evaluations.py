"""Accuracies that were measured on this machine: a small file a net, from which `check` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from convatlas.base.atomic import read_json, write_bytes
from convatlas.base.locking import locked, unusable
from convatlas.base.remote import home

NEEDED: dict[str, type] = {"key": str, "weights": str, "preprocessing": str, "data": str}
NEEDED |= {"photos": int, "classes": int, "top1": float, "top5": float}
INTERVALS = ("top1_interval", "top5_interval")
"""What `check` reads of an evaluation."""


def evaluated(net: str) -> list[dict[str, Any]]:
    """The evaluations of a net, the latest last; none if there are none, or the file is damaged."""
    try:
        found = read_json(home() / "evaluated" / f"{net}.json")
    except (OSError, ValueError):
        return []
    return [one for one in found if _is_whole(one)] if isinstance(found, list) else []


def _is_whole(one: object) -> bool:
    if not isinstance(one, dict) or not all(isinstance(one.get(name), kind) for name, kind in NEEDED.items()):
        return False
    bounds = [bound for name in INTERVALS if isinstance(one.get(name), list) for bound in one[name]]
    return len(bounds) == 4 and all(isinstance(bound, float) for bound in bounds)


def keep(net: str, evaluation: Mapping[str, Any]) -> None:
    """Adds an evaluation, in the place of an earlier one with the same key.

    Raises:
        StoreError: The store cannot be written.
    """
    path = home() / "evaluated" / f"{net}.json"
    with locked(path):
        others = [one for one in evaluated(net) if one["key"] != evaluation["key"]]
        try:
            write_bytes(path, json.dumps([*others, evaluation], indent=1).encode())
        except OSError as error:
            raise unusable(path, error) from None

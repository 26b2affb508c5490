"""Accuracies that were measured on this machine: a small file a net, from which `check` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from convatlas.base.atomic import write_bytes
from convatlas.base.store import home, locked

NEEDED = {"hash", "weights", "preprocessing", "data", "photos", "classes", "top1", "top5"} | {
    "top1_interval",
    "top5_interval",
}
"""What `check` reads of an evaluation."""


def evaluated(net: str) -> list[dict[str, Any]]:
    """The evaluations of a net, the latest last; none if there are none, or the file is damaged."""
    try:
        found = json.loads((home() / "evaluated" / f"{net}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [one for one in found if isinstance(one, dict) and set(one) >= NEEDED] if isinstance(found, list) else []


def keep(net: str, evaluation: Mapping[str, Any]) -> None:
    """Adds an evaluation, in the place of an earlier one of the same weights, preprocessing and data."""
    path = home() / "evaluated" / f"{net}.json"
    same = ("hash", "weights", "preprocessing", "data")
    with locked(path):
        others = [one for one in evaluated(net) if any(one.get(key) != evaluation[key] for key in same)]
        write_bytes(path, json.dumps([*others, evaluation], indent=1).encode())

"""A table of explanations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convatlas.base.tables import Column, Table


def summary(explanations: Sequence[Any]) -> Table:
    """Return a table with a row for each explanation: what was explained, how well, and at what cost."""
    columns = (
        Column("probe", "probe"),
        Column("target", "target"),
        Column("score", "score", _short),
        Column("layer", "layer"),
        Column("residual", "incomplete by", _short),
        Column("derivative", "gradient off by", _short),
        Column("forwards", "forwards"),
        Column("backwards", "backwards"),
        Column("notes", "notes", lambda notes: "; ".join(notes)),
    )
    rows = [{column.key: getattr(each, column.key, None) for column in columns} for each in explanations]
    notes = [str(each) for each in explanations if getattr(each, "image_recovery", False)]
    recovery = ["Some of these recover the image rather than explain the net: " + "; ".join(notes)] if notes else []
    return Table(columns, rows, notes=recovery)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"

"""Table of the published weights, and the path of each set on this machine. Needs no torch."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from convatlas.anatomy.measure.snapshot import measured
from convatlas.base.errors import unknown
from convatlas.base.store.remote import home
from convatlas.base.tables import Column, Table
from convatlas.catalogue.cards import find_card
from convatlas.catalogue.lineages import Weights, all_weights, weights_of
from convatlas.weights.registry import origin


def local_path(row: Weights) -> Path:
    """Path of the converted file of published weights, which `load` or `fetch` writes; bundled files always exist."""
    if origin(row.origin).bundled:
        return Path(str(files(__package__))) / "data" / row.origin / row.file
    return home() / "converted" / row.net / f"{row.name.replace('/', '--')}.safetensors"


def megabytes(row: Weights) -> float | None:
    """Size of the published file in MB; 4 bytes a parameter if the publisher does not state it, None if unknown."""
    net = measured().get(row.net)
    size = row.bytes or (None if net is None else 4 * net["parameters"])
    return None if size is None else round(size / 1e6, 1)


COLUMNS = (
    Column("net", "net"),
    Column("weights", "weights"),
    Column("mb", "MB", lambda size: f"{size:.1f}"),
    Column("licence", "licence"),
    Column("top1", "top-1 (published)"),
    Column("top5", "top-5 (published)"),
    Column("classes", "classes"),
    Column("here", "here"),
    Column("source", "source"),
)


def lineage_table(net: str | None = None, weights: str | None = None) -> Table:
    """Table of all published weights, or those of one net: size in MB, accuracy in percent as printed by the publisher.

    With `weights`, only those of this origin ("keras") or of this name ("timm/a1_in1k").

    Raises:
        UnknownName: No such net, or no such weights.
    """
    rows = all_weights() if net is None else weights_of(find_card(net).name)
    if weights is not None:
        known = {name for row in rows for name in (row.origin, row.name)}
        rows = tuple(row for row in rows if weights.lower() in (row.origin, row.name.lower()))
        if not rows:
            raise unknown("lineage", weights, known)
    lines = [
        {
            "net": row.net,
            "weights": row.name,
            "mb": megabytes(row),
            "licence": (row.licence or "not stated") + ("" if row.commercial else " (non-commercial)"),
            "top1": row.top1 or None,
            "top5": row.top5 or None,
            "classes": row.outputs,
            "here": local_path(row).is_file(),
            "source": row.address,
        }
        for row in rows
    ]
    return Table(COLUMNS, lines, title=f"published weights: {len(lines)}")

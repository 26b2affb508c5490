"""A report of attributions as one HTML file without anything outside of it."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import ConvAtlasError
from convatlas.pictures.picture import check_picture
from convatlas.pictures.pixels import png
from convatlas.probes.attribution import Attribution
from convatlas.probes.picture import overlay, sheet
from convatlas.probes.registry import probe_type

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #fbfbf9; margin: 2rem auto; max-width: 60rem; }
section { display: grid; grid-template-columns: minmax(0, 24rem) 1fr; gap: 0 1.5rem; margin: 2rem 0; }
img { width: 100%; image-rendering: auto; } h2 { grid-column: 1 / 3; margin: 0 0 .3rem; }
table { border-collapse: collapse; font-size: 13px; } td { padding: .1rem .8rem .1rem 0; vertical-align: top; }
td:first-child { color: #5f6b76; } p { margin: .3rem 0; } .warning { color: #b21820; }
@media (max-width: 40rem) { section { display: block; } body { margin: 1rem; } }
"""

SINGLE = "an .npz file holds a single attribution"
APART = "probes that show no map are drawn one at a time, or in a report (.html)"


def write(attributions: Sequence[Any], path: str | Path, photo: str = "") -> Path:
    """Write attributions to a file: a report (.html), a picture (.png, .svg), or the numbers of a single one (.npz).

    Args:
        attributions: The attributions.
        path: The file.
        photo: Name of the photo, for the title of a report.

    Raises:
        ConvAtlasError: The name ends in something else, several are written to .npz, or the file cannot be written.
    """
    path = Path(path)
    check_path(path)
    if path.suffix.lower() == ".npz":
        if len(attributions) != 1:
            raise ConvAtlasError(f"{SINGLE}; got {len(attributions)}")
        saved: Path = attributions[0].save(path)
        return saved
    maps = [each for each in attributions if isinstance(each, Attribution)]
    if path.suffix.lower() != ".html":
        if len(maps) != len(attributions):
            if len(attributions) == 1:
                drawn: Path = attributions[0].save(path)
                return drawn
            raise ConvAtlasError(APART)
        return sheet(maps).save(path)
    body = "\n".join(_section(each) for each in attributions)
    title = f"What {', '.join(dict.fromkeys(each.net for each in attributions))} saw" + (
        f" in {photo}" if photo else ""
    )
    page = (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>\n'
        f"<h1>{html.escape(title)}</h1>\n<p>Red speaks for the target, blue against it; grey was not seen.</p>\n"
        f"{body}\n</html>\n"
    )
    try:
        write_bytes(path, page.encode())
    except OSError as error:
        raise ConvAtlasError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def check_path(path: str | Path, probes: Sequence[str] = (), targets: int = 1) -> None:
    """Refuse a file that `write` cannot write, before anything is computed.

    Args:
        path: The file.
        probes: Names of the probes whose attributions are to be written.
        targets: Number of targets that each of them explains.

    Raises:
        ConvAtlasError: The name ends in something else, or such a file cannot hold these attributions.
        UnknownName: No probe has one of the names.
    """
    path, count = Path(path), len(probes) * targets
    pictures = [name for name in probes if probe_type(name).pictures]
    if path.suffix.lower() == ".html":
        return
    if path.suffix.lower() == ".npz":
        if count > 1:
            raise ConvAtlasError(f"{SINGLE}; got {count}")
        return
    if path.suffix.lower() not in (".png", ".svg"):
        raise ConvAtlasError(f"an explanation is written to .html, .png, .svg or .npz; got {path.name!r}")
    if pictures and count > 1:
        raise ConvAtlasError(f"{APART}; {pictures[0]} is one of these")
    check_picture(path)


def _section(each: Any) -> str:
    probe = probe_type(each.probe)
    data = base64.b64encode(png(overlay(each)) if isinstance(each, Attribution) else each.picture().png()).decode()
    rows = "".join(f"<tr><td>{html.escape(name)}<td>{html.escape(text)}" for name, text in _facts(each))
    notes = "".join(f'<p class="warning">{html.escape(note)}' for note in each.notes)
    return (
        f"<section><h2>{html.escape(probe.title)}</h2>"
        f'<div><img alt="{html.escape(str(each))}" src="data:image/png;base64,{data}"></div>'
        f"<div><p><b>Shows:</b> {html.escape(probe.shows)}<p><b>Cannot show:</b> {html.escape(probe.hides)}{notes}"
        f"<table>{rows}</table><p>{html.escape(probe.source)}</div></section>"
    )


def _facts(each: Any) -> list[tuple[str, str]]:
    """Names and values of the record that a reader may want."""
    facts = {
        "net": " ".join(filter(None, (each.net, getattr(each, "weights", "")))),
        "target": each.target,
        "score": _number(getattr(each, "score", None)),
        "background": f"{getattr(each, 'background', '')}, score {_number(getattr(each, 'background_score', None))}"
        if getattr(each, "background_score", None) is not None
        else "",
        "layer": each.layer or "",
        "completeness": _number(getattr(each, "residual", None)),
        "absorbed": ", ".join(f"{kind} {value:.3g}" for kind, value in getattr(each, "ledger", {}).items()),
        "condition": _number(getattr(each, "condition", None)),
        "gradient against derivative": _number(getattr(each, "derivative", None)),
        "passes": f"forwards {getattr(each, 'forwards', 0)}, backwards {getattr(each, 'backwards', 0)}",
        "seed": str(each.seed),
        "settings": ", ".join(f"{name} {value}" for name, value in each.settings.items() if value is not None),
    }
    return [(name, text) for name, text in facts.items() if text]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

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
from convatlas.probes.layers import ALL
from convatlas.probes.picture import RECOVERY, overlay, sheet
from convatlas.probes.registry import probe_type

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #fbfbf9; margin: 2rem auto; max-width: 60rem; }
section { display: grid; grid-template-columns: minmax(0, 24rem) 1fr; gap: 0 1.5rem; margin: 2rem 0; }
img { width: 100%; image-rendering: auto; } h2 { grid-column: 1 / 3; margin: 0 0 .3rem; }
table { border-collapse: collapse; font-size: 13px; } td { padding: .1rem .8rem .1rem 0; vertical-align: top; }
td:first-child { color: #5f6b76; } p { margin: .3rem 0; } .warning { color: #b21820; }
section.layers { grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem 1.5rem; }
.layers > h2, .layers > .text { grid-column: 1 / -1; } h3 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) { section { display: block; } body { margin: 1rem; } }
"""

SINGLE = "an .npz file holds a single attribution"
APART = "probes that show no map are drawn one at a time, or in a report (.html)"


def write(
    attributions: Sequence[Any], path: str | Path, photo: str = "", opacity: float = 0.65, native: bool = False
) -> Path:
    """Write attributions to a file: a report (.html), a picture (.png, .svg), or the numbers of a single one (.npz).

    Args:
        attributions: The attributions.
        path: The file.
        photo: Name of the photo, for the title of a report.
        opacity: How much the strongest colours of maps hide the photo, 0 to 1, in a report or picture.
        native: Whether the layer's own cells are drawn there, without interpolation.

    Raises:
        ConvAtlasError: The name ends in something else, several are written to .npz, the file cannot be written, or the
            opacity is not from 0 to 1.
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
        return sheet(maps, opacity, native).save(path)
    body = "\n".join(_section(each, opacity, native) for each in _by_layers(attributions))
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


def check_path(path: str | Path, probes: Sequence[str] = (), targets: int = 1, layers: object = None) -> None:
    """Refuse a file that `write` cannot write, before anything is computed.

    Args:
        path: The file.
        probes: Names of the probes whose attributions are to be written.
        targets: Number of targets that each of them explains.
        layers: Layers at which each explains all of them: a list, or "all"; by default one.

    Raises:
        ConvAtlasError: The name ends in something else, or such a file cannot hold these attributions.
        UnknownName: No probe has one of the names.
    """
    path, count = Path(path), len(probes) * targets * (len(layers) if isinstance(layers, list) else 1)
    several = "those of all layers" if layers == ALL else str(count) if count > 1 else ""
    pictures = [name for name in probes if probe_type(name).pictures]
    if path.suffix.lower() == ".html":
        return
    if path.suffix.lower() == ".npz":
        if several:
            raise ConvAtlasError(f"{SINGLE}; got {several}")
        return
    if path.suffix.lower() not in (".png", ".svg"):
        raise ConvAtlasError(f"an explanation is written to .html, .png, .svg or .npz; got {path.name!r}")
    if pictures and several:
        raise ConvAtlasError(f"{APART}; {pictures[0]} is one of these")
    check_picture(path)


def _by_layers(attributions: Sequence[Any]) -> list[list[Any]]:
    """Put together what one probe shows of one target at several layers."""
    groups: dict[object, list[Any]] = {}
    for each in attributions:
        groups.setdefault((each.net, each.probe, repr(each.settings), each.target), []).append(each)
    # The same map twice is no sweep.
    return [
        part
        for group in groups.values()
        for part in ([group] if len({each.layer for each in group}) == len(group) else [[each] for each in group])
    ]


def _section(group: Sequence[Any], opacity: float, native: bool) -> str:
    """One explanation beside its text, or those of several layers side by side."""
    first, probe = group[0], probe_type(group[0].probe)
    title, source = f"<h2>{html.escape(probe.title)}</h2>", f"<p>{html.escape(probe.source)}"
    text = f"<p><b>Shows:</b> {html.escape(probe.shows)}<p><b>Cannot show:</b> {html.escape(probe.hides)}"
    if len(group) == 1:
        image = _image(first, opacity, native)
        return f"<section>{title}<div>{image}</div><div>{text}{_record(first)}{source}</div></section>"
    figures = "".join(
        f"<div><h3>{html.escape(each.layer or '')}</h3>{_image(each, opacity, native)}{_record(each)}</div>"
        for each in group
    )
    return f'<section class="layers">{title}<div class="text">{text}{source}</div>{figures}</section>'


def _image(each: Any, opacity: float, native: bool) -> str:
    data = png(overlay(each, opacity, native)) if isinstance(each, Attribution) else each.picture().png()
    return f'<img alt="{html.escape(str(each))}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def _record(each: Any) -> str:
    """The notes on an explanation, and its record as a table."""
    rows = "".join(f"<tr><td>{html.escape(name)}<td>{html.escape(text)}" for name, text in _facts(each))
    notes = [RECOVERY, *each.notes] if getattr(each, "image_recovery", False) else each.notes
    return "".join(f'<p class="warning">{html.escape(note)}' for note in notes) + f"<table>{rows}</table>"


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

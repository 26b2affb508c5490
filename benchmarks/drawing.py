"""Time the drawing of nets, from a name to a file: `python benchmarks/drawing.py`, about three minutes.

Times of measuring, layout, SVG and PNG, each the median of three rounds in one process, for all nets of the atlas and a
few of torchvision and timm. Writes `results/drawing.json`; fails if a picture takes two seconds or more.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import timm
import torch

import convatlas as ca
from convatlas.catalogue.cards import cards
from convatlas.pictures.shapes import Group

RESULTS = Path(__file__).with_name("results") / "drawing.json"
FOREIGN = ("torchvision.models:googlenet", "torchvision.models:swin_t", "timm:hrnet_w18_small", "timm:dla34")
ROUNDS, MAX_SECONDS = 3, 2.0


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the median of some rounds in seconds, and the last result."""
    times, result = [], None
    for _ in range(ROUNDS):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times), 4), result


def measured(name: str) -> Any:
    if name.startswith("timm:"):
        with torch.device("meta"):
            return ca.measure(timm.create_model(name.removeprefix("timm:")), size=224)
    return ca.measure(name)


def row(name: str) -> dict[str, Any]:
    measure, anatomy = timed(lambda: measured(name))
    draw, picture = timed(lambda: anatomy.draw())
    svg, text = timed(picture.svg)
    png, _ = timed(picture.png)
    boxes, _ = timed(lambda: anatomy.draw(style="boxes").svg())
    return {
        "net": name,
        "layers": len(anatomy.layers),
        "boxes_drawn": sum(isinstance(shape, Group) and bool(shape.layers) for shape in picture.shapes),
        "width": round(picture.width),
        "height": round(picture.height),
        "svg_kilobytes": round(len(text.encode()) / 1000),
        "measure_s": measure,
        "lay_out_s": draw,
        "svg_s": svg,
        "png_s": png,
        "maps_s": boxes,
        "name_to_svg_s": round(measure + draw + svg, 4),
    }


def main() -> None:
    torch.set_num_threads(1)
    rows = [row(name) for name in (*cards(), *FOREIGN)]
    slowest = max(rows, key=lambda timing: timing["name_to_svg_s"])
    result = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, one used",
        "versions": {name: version(name) for name in ("torch", "resvg-py", "timm", "torchvision")},
        "rounds": ROUNDS,
        "slowest": {"net": slowest["net"], "name_to_svg_s": slowest["name_to_svg_s"]},
        "drawing_alone_slowest_s": max(timing["lay_out_s"] + timing["svg_s"] for timing in rows),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"slowest: {slowest['net']}, {slowest['name_to_svg_s']} s from its name to SVG")
    if slowest["name_to_svg_s"] >= MAX_SECONDS:
        sys.exit(f"{slowest['net']} took {slowest['name_to_svg_s']} s; at most {MAX_SECONDS} are allowed")


if __name__ == "__main__":
    main()

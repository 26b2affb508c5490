"""The chart of a bench: bars of the milliseconds for a photo."""

from __future__ import annotations

from convatlas.engines.bench.bench import Bench
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import GREY, PAPER, Box, Group, Line, Shape, Text
from convatlas.pictures.text import text_width

WIDE, STEP, GAP, TOP, SMALL = 620.0, 18.0, 14.0, 66.0, 10.0
"""The longest bar, from bar to bar, between groups, above the first, and the size of labels."""

COLOURS = {
    "eager": "#bab0ac",
    "compiled": "#54a24b",
    "onnxruntime": "#4c78a8",
    "openvino": "#b279a2",
    "timm": "#eeca3b",
    "torchvision": "#f58518",
}


def bars(bench: Bench) -> Picture:
    """Bars by net and batch; each group has a scale of its own, a line shows what the machine needs at least."""
    labels = [f"{one.engine} {one.precision}" for one in bench.times]
    left = 24 + max(text_width(label, SMALL) for label in labels)
    shapes: list[Shape] = []
    y = TOP
    for net, batch in dict.fromkeys((one.net, one.batch) for one in bench.times):
        group = [one for one in bench.times if (one.net, one.batch) == (net, batch)]
        longest = max(one.milliseconds for one in group)
        photos = "one photo" if batch == 1 else f"{batch} photos"
        shapes.append(Text(24, y + 4, f"{net}, {photos} at a time", 12, True))
        y += 12
        begin = y
        for one in sorted(group, key=lambda one: one.milliseconds):
            length = WIDE * one.milliseconds / longest
            told = (
                f"{one.engine} {one.precision}: {one.milliseconds:.2f} ms a photo, {one.photos_per_second:.1f} photos/s"
            )
            bar = Box(left + 8, y + 2, max(length, 1.0), STEP - 4, COLOURS[one.engine])
            shapes.append(Text(left, y + 13, f"{one.engine} {one.precision}", SMALL, anchor="end"))
            shapes.append(Group((bar,), told))
            shapes.append(Text(left + 14 + length, y + 13, f"{one.milliseconds:.2f} ms", SMALL, fill=GREY))
            y += STEP
        limit = left + 8 + WIDE * group[0].limit / batch / longest
        shapes.append(Line(((limit, begin), (limit, y)), GREY, 1, dashed=True, radius=0))
        y += GAP
    width = left + WIDE + 100
    title = "Milliseconds for a photo"
    note = f"{bench.cpu}, threads: {bench.threads}. Medians; each group has its own scale; dashed: the machine's limit."
    width = max(width, 48 + text_width(note, SMALL))
    shapes += [Text(24, 28, title, 16, True), Text(24, 46, note, SMALL, fill=GREY)]
    return Picture(width, y + 10, (Box(0, 0, width, y + 10, PAPER), *shapes), title, str(bench))

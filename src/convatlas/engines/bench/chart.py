"""The bar chart of a bench: milliseconds for a photo."""

from __future__ import annotations

from convatlas.engines.bench.bench import Bench
from convatlas.pictures.axes import Axis, categories
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Bars, Mark, Rule
from convatlas.pictures.picture import Picture

WIDTH, STEP = 620.0, 18.0
"""Length of a group's longest bar, and the distance between bars."""

COLOURS = {
    "eager": "#bab0ac",
    "compiled": "#54a24b",
    "onnxruntime": "#4c78a8",
    "openvino": "#b279a2",
    "timm": "#eeca3b",
    "torchvision": "#f58518",
}


def bars(bench: Bench) -> Picture:
    """Draw a group of bars for each net and batch, each with a scale of its own and a line at the machine's limit."""
    panels = [_group(bench, net, batch) for net, batch in dict.fromkeys((time.net, time.batch) for time in bench.times)]
    note = f"{bench.cpu}, threads: {bench.threads}. Medians; each group has its own scale; dashed: the machine's limit."
    return Chart(panels, "Milliseconds for a photo", note, columns=1, description=str(bench)).picture()


def _group(bench: Bench, net: str, batch: int) -> Panel:
    times = sorted(
        (time for time in bench.times if (time.net, time.batch) == (net, batch)), key=lambda time: time.milliseconds
    )
    marks: list[Mark] = [
        Bars(
            at=range(len(times)),
            values=[time.milliseconds for time in times],
            colours=[COLOURS[time.engine] for time in times],
            texts=[f"{time.milliseconds:.2f} ms" for time in times],
            titles=[
                f"{time.engine} {time.precision}: {time.milliseconds:.2f} ms a photo, "
                f"{time.photos_per_second:.1f} photos/s"
                for time in times
            ],
        ),
        Rule(times[0].limit / batch, -0.5, len(times) - 0.5),
    ]
    photos = "one photo" if batch == 1 else f"{batch} photos"
    names = categories([f"{time.engine} {time.precision}" for time in times], downward=True)
    milliseconds = Axis(0, times[-1].milliseconds)
    title = f"{net}, {photos} at a time"
    return Panel(milliseconds, names, marks, title, WIDTH, STEP * len(times), frame=False)

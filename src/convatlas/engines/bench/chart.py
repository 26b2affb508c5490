"""Bar chart of a bench: milliseconds for a photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from convatlas.engines.bench.times import Time
from convatlas.engines.registry import backends
from convatlas.pictures.axes import Axis, categories
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Bars, Mark, Rule
from convatlas.pictures.picture import Picture

WIDTH, STEP = 620.0, 18.0
"""Length of the longest bar of a group, and the distance between bars, in pixels."""

PEER_COLOURS = {"timm": "#eeca3b", "torchvision": "#f58518"}


def bars(times: Sequence[Time], note: str, description: str) -> Picture:
    """Draw a group of bars for each net and batch, each with a scale of its own and a line at the machine's limit.

    Args:
        times: The times to show.
        note: Line below the title.
        description: Text for readers who cannot see the picture.
    """
    colours = PEER_COLOURS | {name: backend.colour for name, backend in backends().items()}
    cells = dict.fromkeys((time.net, time.batch) for time in times)
    panels = [_group([time for time in times if (time.net, time.batch) == cell], colours) for cell in cells]
    return Chart(panels, "Milliseconds for a photo", note, columns=1, description=description).picture()


def _group(times: Sequence[Time], colours: Mapping[str, str]) -> Panel:
    times = sorted(times, key=lambda time: time.milliseconds)
    net, batch = times[0].net, times[0].batch
    marks: list[Mark] = [
        Bars(
            at=range(len(times)),
            values=[time.milliseconds for time in times],
            colours=[colours[time.engine] for time in times],
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

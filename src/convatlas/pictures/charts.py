"""Charts: panels with two axes and marks in them, a title and a legend; `Chart.picture` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convatlas.base.terminal.brief import Brief
from convatlas.pictures.axes import Axis
from convatlas.pictures.marks import SMALL, Mark, Place
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import GREY, PAPER, Box, Line, Shape, Text, flat
from convatlas.pictures.text import text_width, wrapped

MARGIN, GAP, LINE = 24.0, 26.0, 11.0
"""Space around a chart and between panels; size of axis labels and notes."""

FIELD, FRAME, GRID = "#ffffff", "#c9cdc8", "#e3e5e1"


@dataclass(frozen=True)
class Panel(Brief):
    """Two axes with the marks between them; `width` and `height` are those of the field, without ticks and labels."""

    x: Axis
    y: Axis
    marks: Sequence[Mark]
    title: str = ""
    width: float = 420
    height: float = 280
    frame: bool = True

    def _repr_svg_(self) -> str:
        return Chart([self], self.title).picture().svg()

    def place(self, x0: float, y0: float) -> Place:
        """Return the map from values to places, for a field whose upper left corner is at (x0, y0)."""
        return lambda x, y: (x0 + self.width * self.x.share(x), y0 + self.height * (1 - self.y.share(y)))

    @property
    def _turned(self) -> bool:
        """Whether the texts below the panel stand upright, as they would overlap otherwise."""
        room = self.width / max(len(self.x.ticks), 1)
        return any(text_width(text, SMALL) > room - 6 for _, text in self.x.ticks)

    @property
    def left(self) -> float:
        """Width of the ticks and the label on the left."""
        ticks = max((text_width(text, SMALL) for _, text in self.y.ticks), default=0.0)
        return ticks + 8 + (20 if self.y.label else 0)

    @property
    def above(self) -> float:
        """Height of the title."""
        return 20.0 if self.title else 0.0

    @property
    def below(self) -> float:
        """Height of the ticks and the label below."""
        if not self.x.ticks:
            return 22.0 if self.x.label else 0.0
        ticks = max(text_width(text, SMALL) for _, text in self.x.ticks) + 6 if self._turned else 16.0
        return ticks + (22 if self.x.label else 0)

    def shapes(self, x0: float, y0: float) -> list[Shape]:
        """Return the panel's shapes, its field's upper left corner at (x0, y0)."""
        right, bottom = x0 + self.width, y0 + self.height
        shapes: list[Shape] = [Box(x0, y0, self.width, self.height, FIELD, FRAME)] if self.frame else []
        for value, text in self.x.ticks:
            x = x0 + self.width * self.x.share(value)
            shapes += [Line(((x, y0), (x, bottom)), GRID, 1)] if self.x.grid else []
            if self._turned:
                shapes.append(Text(x + 3.2, bottom + 6, text, SMALL, anchor="end", fill=GREY, turned=True))
            else:
                shapes.append(Text(x, bottom + 15, text, SMALL, anchor="middle", fill=GREY))
        for value, text in self.y.ticks:
            y = y0 + self.height * (1 - self.y.share(value))
            shapes += [Line(((x0, y), (right, y)), GRID, 1)] if self.y.grid else []
            shapes.append(Text(x0 - 8, y + 3.4, text, SMALL, anchor="end", fill=GREY))
        if self.title:
            shapes.append(Text(x0, y0 - 8, self.title, 12, True))
        if self.x.label:
            shapes.append(Text(x0 + self.width / 2, bottom + self.below - 6, self.x.label, LINE, anchor="middle"))
        if self.y.label:
            x, y = x0 - self.left + 11, y0 + self.height / 2
            shapes.append(Text(x, y, self.y.label, LINE, anchor="middle", turned=True))
        return [*shapes, *(shape for mark in self.marks for shape in mark.shapes(self.place(x0, y0)))]


@dataclass(frozen=True)
class Chart(Brief):
    """Panels side by side, or in a grid of `columns`, under a title, a note and a legend of all labelled marks."""

    panels: Sequence[Panel]
    title: str
    note: str = ""
    columns: int = 0
    description: str = ""

    def picture(self) -> Picture:
        """Draw the chart."""
        columns = self.columns or len(self.panels)
        rows = [self.panels[at : at + columns] for at in range(0, len(self.panels), columns)]
        lefts, x = [], MARGIN
        for column in range(columns):
            stack = [row[column] for row in rows if column < len(row)]
            lefts.append(x + max(panel.left for panel in stack))
            x = lefts[-1] + max(panel.width for panel in stack) + GAP
        width = max(x - GAP + MARGIN, 2 * MARGIN + text_width(self.title, 16, True), 360)
        head: list[Shape] = [Text(MARGIN, 34, self.title, 16, True)]
        y = 34.0
        for line in wrapped(self.note, width - 2 * MARGIN, LINE) if self.note else []:
            y += 17
            head.append(Text(MARGIN, y, line, LINE, fill=GREY))
        legend, y = self._legend(width, y + 20)
        y += 12
        fields: list[Shape] = []
        for row in rows:
            top = y + max(panel.above for panel in row)
            for panel, x0 in zip(row, lefts, strict=False):
                fields += panel.shapes(x0, top)
            y = top + max(panel.height + panel.below for panel in row) + GAP / 2
        ends = [shape.bounds()[2] + MARGIN for shape in flat(fields) if isinstance(shape, Text)]
        width, height = max([width, *ends]), y + MARGIN / 2
        ground = Box(0, 0, width, height, PAPER)
        return Picture(
            width, height, (ground, *head, *legend, *fields), self.title, self.description or self.note or self.title
        )

    def _repr_svg_(self) -> str:
        return self.picture().svg()

    def _legend(self, width: float, y: float) -> tuple[list[Shape], float]:
        """Return the legend, on as many lines as it takes, and where it ends."""
        marks = {mark.label: mark for panel in self.panels for mark in panel.marks if mark.label}
        if not marks:
            return [], y - 20
        shapes: list[Shape] = []
        x = MARGIN
        for label, mark in marks.items():
            step = 22 + text_width(label, SMALL) + 18
            if x > MARGIN and x + step - 18 > width - MARGIN:
                x, y = MARGIN, y + 17
            shapes += [*mark.swatch(x, y - 3.3), Text(x + 22, y, label, SMALL, fill=GREY)]
            x += step
        return shapes, y

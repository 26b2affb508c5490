"""Charts: round ticks, every value in its place, nothing on anything else, the same bytes every time."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import pytest
from tests.anatomy.pictures import check_words

from convatlas.pictures.axes import categories, linear, logarithmic
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Bars, Cells, Curve, Dots, Intervals, Rule
from convatlas.pictures.names import Names
from convatlas.pictures.palette import APART, OTHERS, REST, colours_apart
from convatlas.pictures.shapes import Box, Disc, Group, Line, Text, flat
from convatlas.training.plots import confusion, curves


@pytest.mark.parametrize(
    ("values", "options", "texts"),
    [
        ([0, 1], {}, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([1, 30], {"whole": True, "margin": 0}, ["5", "10", "15", "20", "25", "30"]),
        ([1, 2], {"whole": True}, ["1", "2"]),
        ([55, 87], {"unit": "%"}, ["55%", "60%", "65%", "70%", "75%", "80%", "85%"]),
        ([3.0], {"zero": True}, ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0"]),
        ([0, 120_000], {}, ["0", "20,000", "40,000", "60,000", "80,000", "100,000", "120,000"]),
        ([math.nan, math.inf], {"whole": True}, ["0", "1"]),
    ],
)
def test_ticks_are_round(values: list[float], options: dict, texts: list[str]) -> None:
    axis = linear(values, **options)
    assert [text for _, text in axis.ticks] == texts
    finite = [value for value in values if math.isfinite(value)]
    assert all(axis.low <= value <= axis.high for value in finite)


def test_logarithmic_axes_have_equal_ratios() -> None:
    axis = logarithmic([1, 100, 0, math.nan], unit=" ms")
    assert [text for _, text in axis.ticks] == [f"{number} ms" for number in (1, 2, 5, 10, 20, 50, 100)]
    assert axis.share(10) == pytest.approx(0.5)
    assert axis.share(100) - axis.share(10) == pytest.approx(axis.share(10) - axis.share(1))
    assert 0 < axis.share(1) < 0.1
    assert logarithmic([5]).low < 5 < logarithmic([5]).high


def test_names_run_downward() -> None:
    axis = categories(["a", "b", "c"], downward=True)
    assert [axis.share(at) for at, _ in axis.ticks] == pytest.approx([5 / 6, 1 / 2, 1 / 6])


def chart() -> Chart:
    names = [f"a name that is number {number}" for number in range(9)]
    points = [1.0, 2.0, 3.0]
    marks = [
        Curve([*points, math.nan], [1, 4, 9, 1], "#112233", "curve", radius=2),
        Dots(points, points, "#445566", "dots", radius=[1, 2, 3], titles=["one", "two", "three"]),
        Intervals(points, [0, 1, 2], [2, 3, 4], "#778899", "intervals", vertical=True),
        Rule(2, 0, 9, label="rule"),
    ]
    lines = Panel(linear(points, "x"), linear([0, 9], "y"), marks, "above")
    bars = Bars(range(9), range(9), ["#4c78a8"] * 9, "bars", texts=names, titles=names)
    cells = Cells([[at / 9] * 9 for at in range(9)], [[str(at)] * 9 for at in range(9)], label="cells")
    return Chart(
        [
            lines,
            Panel(linear([0, 8], "value"), categories(names, downward=True), [bars], "bars"),
            Panel(categories(names, "column"), categories(names, "row", downward=True), [cells]),
        ],
        "A chart",
        "a note " * 60,
        columns=2,
    )


def test_nothing_lies_on_anything_else() -> None:
    picture = chart().picture()
    check_words(picture)
    assert picture.svg() == chart().picture().svg()
    assert picture.png(1) == chart().picture().png(1)
    said = [shape.text for shape in flat(picture.shapes) if isinstance(shape, Text)]
    assert {"curve", "dots", "intervals", "rule", "bars", "cells", "A chart", "x", "y"} < set(said)


def test_marks_are_in_their_places() -> None:
    shapes = list(chart().picture().shapes)
    groups = [shape for shape in shapes if isinstance(shape, Group)]
    discs = [group.shapes[0] for group in groups if isinstance(group.shapes[0], Disc)]
    assert [disc.radius for disc in discs] == [1, 2, 3]
    assert discs[1].x - discs[0].x == pytest.approx(discs[2].x - discs[1].x)
    assert discs[0].y - discs[1].y == pytest.approx(discs[1].y - discs[2].y)
    assert discs[0].y > discs[1].y
    bars = [group.shapes[0] for group in groups if isinstance(group.shapes[0], Box)]
    assert [bar.width for bar in bars[1:]] == pytest.approx([at * bars[1].width for at in range(1, 9)])
    (curve,) = (
        shape for shape in shapes if isinstance(shape, Line) and shape.stroke == "#112233" and len(shape.points) > 2
    )
    assert len(curve.points) == 3
    opacities = [shape.opacity for shape in shapes if isinstance(shape, Box) and shape.fill == "#1f5a96"]
    assert opacities[-9:] == pytest.approx([8 / 9] * 9)


def test_the_charts_of_a_training() -> None:
    result = SimpleNamespace(net="lenet5", data="mnist", epoch=2)
    lines = [{"epoch": epoch, "loss": 1 / epoch} for epoch in (1, 2, 3)]
    (panel,) = curves(lines, result).panels
    assert list(panel.marks[0].y) == pytest.approx([1, 1 / 2, 1 / 3])
    lines = [line | {"validation_loss": 2.0, "validation_top1": 90.0 + line["epoch"]} for line in lines]
    chart = curves(lines, result)
    check_words(chart.picture())
    losses, errors = chart.panels
    assert {mark.label for mark in losses.marks} == {"loss, training", "loss, validation", "chosen epoch"}
    assert list(errors.marks[-1].y) == [9, 8, 7]
    assert errors.marks[0].value == 2
    check_words(curves(lines[:1], result).picture())


def test_a_confusion_matrix_shows_counts_of_few_classes() -> None:
    picture = confusion([[8, 2], [0, 0]], ["cat", "dog"]).picture()
    check_words(picture)
    said = [shape.text for shape in flat(picture.shapes) if isinstance(shape, Text)]
    assert {"8", "2", "cat", "dog", "class", "prediction"} < set(said)
    assert "0" not in said
    many = [[int(row == column) for column in range(40)] for row in range(40)]
    picture = confusion(many, [f"class {number}" for number in range(40)]).picture()
    check_words(picture)
    assert not any(isinstance(shape, Text) and shape.text.startswith("class ") for shape in picture.shapes)


def test_every_disc_has_its_name() -> None:
    """Beside it or at the end of a line, on no other name and no disc."""
    numbers = [1.0, 1.02, 1.04, 1.06, 1.08, 1.5, 2.0, 2.02, 3.0]
    texts = [f"a net of number {at}" for at in range(9)]
    x, y = linear(numbers, margin=0.2), linear(numbers, margin=0.2)
    radii = [4.0 + at for at in range(9)]
    names = Names(numbers, numbers, texts, radii, (x.low, x.high, y.low, y.high))
    picture = Chart([Panel(x, y, [Dots(numbers, numbers, "#445566", "", radii), names])], "crowded").picture()
    check_words(picture)
    placed = [shape for shape in flat(picture.shapes) if isinstance(shape, Text) and shape.text in texts]
    assert sorted(shape.text for shape in placed) == texts
    for name in placed:
        left, top, right, bottom = name.bounds()
        for disc in (shape for shape in flat(picture.shapes) if isinstance(shape, Disc)):
            nearest = min(max(disc.x, left), right), min(max(disc.y, top), bottom)
            assert math.dist(nearest, (disc.x, disc.y)) >= disc.radius


def lightness_and_hue(colour: str) -> tuple[float, float, float]:
    """CIE L*a*b*, for the white of sRGB."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    sides = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (side ** (1 / 3) if side > 0.008856 else 7.787 * side + 16 / 116 for side in sides)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_colours_of_groups_stay_apart() -> None:
    groups = ["a", "b", *"ccc", *"dddd", *"ee", *"ff", *"gg", *"hh", *"ii"]
    colours = colours_apart(groups)
    assert list(colours) == sorted(set(groups))
    own = [pair for pair in colours.values() if pair[1] != OTHERS]
    assert [label for _, label in own] == ["c", "d", "e", "f", "g", "h"]
    assert colours["a"] == colours["b"] == colours["i"] == (REST, OTHERS)
    places = [lightness_and_hue(colour) for colour in (*APART, REST)]
    assert min(math.dist(*pair) for pair in itertools.combinations(places, 2)) > 25

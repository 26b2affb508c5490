"""Choosing a net: the front against a search by hand, limits, times, and the chart."""

from __future__ import annotations

import math
from itertools import pairwise
from math import hypot
from pathlib import Path

import pytest
from tests.anatomy.pictures import check_words

import convatlas as ca
from convatlas.anatomy.measure.snapshot import measured
from convatlas.anatomy.report.candidates import COSTS, Candidate
from convatlas.anatomy.report.choose import Choice, _beaten
from convatlas.base.errors import ConvAtlasError, UnknownName
from convatlas.base.store.sealed import write_sealed_json
from convatlas.base.store.timings import best_times
from convatlas.catalogue.cards import cards
from convatlas.catalogue.list_nets import figure_value
from convatlas.pictures.shapes import Disc, Group, Line, Text, flat


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path))
    return tmp_path


def by_hand(fitting: list[str], cost: str) -> set[str]:
    """Walks from the cheapest up and keeps what is more accurate than all before."""
    rows = sorted((measured()[name][cost], -figure_value(cards()[name], "top1"), name) for name in fitting)
    kept: set[str] = set()
    best, at = -math.inf, -1.0
    for value, minus, name in rows:
        if -minus > best or (-minus == best and value == at):
            kept.add(name)
            best, at = -minus, value
    return kept


@pytest.mark.parametrize("cost", ["parameters", "macs"])
def test_the_front_of_all(cost: str) -> None:
    names = [name for name, card in cards().items() if not math.isnan(figure_value(card, "top1"))]
    choice = ca.choose(by=cost)
    assert {one.net for one in choice.front} == by_hand(names, cost)
    assert {one.net for one in choice.candidates} == set(names)
    assert [one.top1 for one in choice.front] == sorted((one.top1 for one in choice.front), reverse=True)
    assert [one.cost(cost) for one in choice.front] == sorted((one.cost(cost) for one in choice.front), reverse=True)


def test_limits() -> None:
    choice = ca.choose(max_parameters="10M", min_top1=75, size=224)
    fits = {one.net for one in choice.candidates if one.fits}
    assert fits == {
        name
        for name, card in cards().items()
        if measured()[name]["parameters"] <= 1e7 and figure_value(card, "top1") >= 75 and max(card.input[:2]) <= 224
    }
    assert {one.net for one in choice.front} == by_hand(list(fits), "parameters")
    assert choice.recommended == "efficientnetv2_b0"
    assert "78.7% with 7.2M parameters" in choice.why
    assert ca.choose(max_megabytes=40).front[0].parameters <= 1e7
    assert all(one.macs <= 1e9 for one in ca.choose(max_macs="1B", by="macs").front)


def test_the_recommended_net_is_the_cheapest_of_the_nearly_best() -> None:
    for choice in (ca.choose(), ca.choose(by="macs"), ca.choose(max_parameters=3e7), ca.choose(by="megabytes")):
        best = max(one.top1 for one in choice.candidates if one.fits)
        near = [one for one in choice.candidates if one.fits and one.top1 >= best - 1]
        cheapest = min(near, key=lambda one: one.cost(choice.by))
        assert choice.recommended == cheapest.net
        assert choice.recommended in choice.why


def test_nothing_fits() -> None:
    choice = ca.choose(min_top1=99)
    assert (choice.recommended, choice.front) == (None, ())
    assert choice.why == "no net is within all these limits"
    check_words(choice.draw())
    assert choice.table().rows == []


def record(store: Path, rows: object) -> None:
    write_sealed_json(store / "bench.json", rows)


def test_times_of_this_machine(store: Path) -> None:
    with pytest.raises(ConvAtlasError, match="run `convatlas bench`"):
        ca.choose(max_ms=30)
    with pytest.raises(ConvAtlasError, match="run `convatlas bench`"):
        ca.choose(by="time")
    record(
        store,
        [
            {"net": "resnet50", "size": 224, "milliseconds": 40.0, "engine": "eager"},
            {"net": "resnet50", "size": 224, "milliseconds": 25.0, "engine": "onnx"},
            {"net": "resnet50", "size": 64, "milliseconds": 1.0, "engine": "onnx"},
            {"net": "mobilenet_v2", "size": 224, "milliseconds": 5.0, "engine": "onnx"},
            {"net": "vgg16", "size": 224, "milliseconds": 90.0, "engine": "onnx"},
            {"another": "thing"},
        ],
    )
    choice = ca.choose(max_ms=30)
    assert choice.by == "time"
    assert [(one.net, one.time) for one in choice.front] == [("resnet50", 25.0), ("mobilenet_v2", 5.0)]
    assert "without a measured time were left out" in choice.why
    assert best_times()["resnet50"] == {224: 25.0, 64: 1.0}
    # Times are shown, but not asked for, when another cost counts.
    assert next(one for one in ca.choose().candidates if one.net == "vgg16").time == 90.0
    check_words(choice.draw())


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[1, 2]", '{"net": 1}', "null"),
        '[{"net": "resnet50", "size": "x", "milliseconds": 3}]',
        '[{"net": "resnet50", "size": 224, "milliseconds": null}]',
        '[{"net": "resnet50", "size": 224, "milliseconds": "3"}]',
        '[{"net": "resnet50", "size": 224, "milliseconds": -1}]',
        '[{"net": "resnet50", "size": 224, "milliseconds": NaN}]',
        '[{"net": "resnet50", "size": Infinity, "milliseconds": 3}]',
        '[{"net": ["resnet50"], "size": 224, "milliseconds": 3}]',
    ],
)
def test_a_damaged_record_is_none(store: Path, text: str) -> None:
    (store / "bench.json").write_text(text, encoding="utf-8")
    assert best_times() == {}


def test_wrong_wishes() -> None:
    with pytest.raises(UnknownName, match="parameters"):
        ca.choose(by="beauty")
    with pytest.raises(ConvAtlasError, match=r"25\.6M"):
        ca.choose(max_parameters="many")
    for wish in (
        {"max_parameters": 0},
        {"max_parameters": "0"},
        {"max_megabytes": -1.0},
        {"max_macs": float("nan")},
        {"max_ms": -1},
        {"size": 0},
        {"size": True},
    ):
        with pytest.raises(ConvAtlasError, match="is a number above 0"):
            ca.choose(**wish)
    for top1 in (float("nan"), -1, 101):
        with pytest.raises(ConvAtlasError, match="0 to 100"):
            ca.choose(min_top1=top1)


def discs(choice: Choice) -> list[Disc]:
    groups = [shape for shape in choice.draw().shapes if isinstance(shape, Group)]
    return [shape for group in groups for shape in group.shapes if isinstance(shape, Disc)]


@pytest.mark.parametrize("by", ["parameters", "megabytes", "macs"])
def test_the_chart(by: str) -> None:
    choice = ca.choose(by=by)
    picture = choice.draw()
    check_words(picture)
    assert picture.svg() == ca.choose(by=by).draw().svg()
    # One disc a net; its area goes with the size of its weights.
    assert len(discs(choice)) == len(choice.candidates)
    radii = sorted(disc.radius for disc in discs(choice))
    assert radii[-1] > 4 * radii[0]
    said = [shape.text for shape in flat(picture.shapes) if isinstance(shape, Text)]
    assert choice.recommended in said
    assert COSTS[by] in said
    (front,) = (shape for shape in flat(picture.shapes) if isinstance(shape, Line) and shape.dashed)
    assert len(front.points) == len(choice.front)
    # Dearer nets of the front stand farther right, and higher.
    assert list(front.points) == sorted(front.points)
    assert [-y for _, y in front.points] == sorted(-y for _, y in front.points)


@pytest.mark.parametrize("by", ["parameters", "megabytes", "macs"])
def test_names_can_be_read(by: str) -> None:
    """Every net of the front has its name; none lies on a disc or on the front's line."""
    choice = ca.choose(by=by)
    shapes = list(flat(choice.draw().shapes))
    names = {one.net for one in choice.candidates}
    texts = [shape for shape in shapes if isinstance(shape, Text) and shape.text in names]
    assert {one.net for one in choice.front} <= {text.text for text in texts}
    assert len(texts) > 0.8 * len(names)
    (line,) = (shape for shape in shapes if isinstance(shape, Line) and shape.dashed)
    drawn = discs(choice)
    for text in texts:
        left, top, right, bottom = text.bounds()
        for disc in drawn:
            near = min(max(disc.x, left), right) - disc.x, min(max(disc.y, top), bottom) - disc.y
            assert hypot(*near) >= disc.radius - 0.1, text
        for (x1, y1), (x2, y2) in pairwise(line.points):
            along = [(x1 + (x2 - x1) * share / 50, y1 + (y2 - y1) * share / 50) for share in range(51)]
            assert not any(left < x < right and top < y < bottom for x, y in along), text


def test_the_legend_names_the_families_that_have_a_colour() -> None:
    choice = ca.choose(max_parameters="10M", min_top1=75, size=224)
    said = {shape.text for shape in flat(choice.draw().shapes) if isinstance(shape, Text)}
    fitting = [one for one in choice.candidates if one.fits]
    assert {one.family for one in fitting} <= said
    assert not ({one.family for one in choice.candidates} - {one.family for one in fitting}) & said
    assert {one.net for one in fitting} <= said


def test_nets_that_do_not_fit_are_pale() -> None:
    choice = ca.choose(max_parameters="10M")
    pale = [disc for disc in discs(choice) if disc.fill == "#e6e8e6"]
    assert len(pale) == sum(not one.fits for one in choice.candidates)


def test_equals_beat_each_other_only_by_something() -> None:
    def net(name: str, top1: float, parameters: int) -> Candidate:
        return Candidate(name, "f", 2000, (1, 1), top1, parameters, 1.0, 1, None)

    nets = [net("a", 70, 10), net("b", 70, 10), net("c", 71, 10), net("d", 71, 11), net("e", 72, 11)]
    beaten = [one.net for one in nets if _beaten(one, nets, "parameters")]
    assert beaten == ["a", "b", "d"]
    assert not any(_beaten(one, nets[:2], "parameters") for one in nets[:2])


def test_an_unknown_cost_is_infinite() -> None:
    one = Candidate("x", "y", 2000, (1, 1), 50.0, 1, 1.0, 1, None)
    assert one.cost("time") == math.inf

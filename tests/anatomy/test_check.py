"""Every published figure is explained by a rule or listed; a wrong one is found."""

from __future__ import annotations

import dataclasses

import pytest

from convatlas.anatomy.measure.measure import measure
from convatlas.anatomy.report import check as checking
from convatlas.anatomy.report.check import check, checks, names
from convatlas.base.errors import UnknownName
from convatlas.catalogue.cards import cards
from convatlas.catalogue.rules import exceptions

# One process builds what these tests share.
pytestmark = pytest.mark.xdist_group("atlas")

DEPTHS = [151, 185, 193, 225, 281, 403, 557, 96, 186, 186, 186, 186]


@pytest.fixture(scope="module")
def found():
    return list(checks(names([])))


def test_nothing_is_left_unexplained(found):
    assert [cell for one in found for cell in one.unexplained] == []
    listed = [(cell.net, cell.column) for one in found for cell in one.cells if cell.rule.startswith("exception")]
    assert listed == [(each.net, each.column) for each in exceptions()]


def test_every_published_number_has_a_cell(found):
    cells = {(cell.net, cell.column): cell.published for one in found for cell in one.cells}
    for card in cards().values():
        for column, figure in card.figures.items():
            assert column == "perk" or cells[card.name, column] == figure.printed


def test_blank_depths_are_filled_and_marked(found):
    blank = {cell.net: cell for one in found for cell in one.cells if cell.published is None}
    assert {cell.rule for cell in blank.values()} == {checking.NOT_PUBLISHED}
    review = [net for net in blank if any(fig.source == "review" for fig in cards()[net].figures.values())]
    assert [blank[net].measured for net in review] == DEPTHS


def test_accuracy_is_not_measured_here(found):
    cells = [cell for one in found for cell in one.cells if cell.column in checking.ACCURACIES]
    assert sum(cell.source == "review" for cell in cells) == 38 + 33
    assert {cell.column for cell in cells} == set(checking.ACCURACIES)
    assert {(cell.rule, cell.measured) for cell in cells} == {("not measured here", None)}


@pytest.mark.parametrize(
    ("net", "column", "change"),
    [
        ("resnet50", "depth", {"depth": 106}),
        ("resnet50", "parameters", {"parameters": 25_836_712, "trainable": 25_836_712}),
        ("resnet50", "size", {"parameters": 26_636_712}),
        ("resnet50", "flops", {"macs": 3_700_000_000}),
        ("resnet50", "layers", {"path": 51}),
        ("inception_v1", "layers", {"path": 21}),
        ("alexnet", "parameters_short", {"parameters": 61_000_000}),
        ("resnet34", "flops", {"macs": 3_750_000_000}),
        ("vgg16", "activation", {"activation": "GELU"}),
        ("lenet5", "activation", {"activation": "logistic"}),
        ("lenet5", "layers", {"path": 7}),
        ("lenet5", "parameters_short", {"trainable": 60_840}),
        ("lenet1", "connections", {"layers": ()}),
        ("lenet1", "units", {"input": (1, 16, 16)}),
        ("vgg16", "input", {"input": (3, 299, 299)}),
        ("vgg16", "output", {"output": (1001,)}),
    ],
)
def test_a_wrong_measurement_is_found(monkeypatch, net, column, change):
    anatomy = dataclasses.replace(measure(net), **change)
    monkeypatch.setattr(checking, "measure", lambda name: anatomy)
    assert column in [cell.column for cell in check(net).unexplained]


def test_differences_are_shares():
    cells = {cell.column: cell for cell in check("efficientnet_b0").cells}
    assert cells["size"].difference == pytest.approx(20.334 / 29 - 1, abs=1e-3)
    assert cells["depth"].difference == 0


def test_names():
    assert names(["ResNet50", "resnet-50"]) == ["resnet50"]
    assert names([]) == list(cards())
    with pytest.raises(UnknownName, match="resnet50"):
        names(["resnet5"])

"""A figure printed otherwise is unexplained: no rule and no exception gives its characters."""

from __future__ import annotations

import dataclasses

import pytest

from convatlas.anatomy.report import check as checking
from convatlas.anatomy.report.check import check, table
from convatlas.catalogue.cards import Card, Figure, find_card
from convatlas.catalogue.rules import exceptions

# The rules round or cut, and count in MiB, MB or GiB: "99", "100" and "103" for 98 would be explained, these are not.
WRONG = {
    "resnet50": {
        "depth": ["106", "50", "108"],
        "parameters": ["25.5M", "25.7M", "25.60M", "26M"],
        "parameters_short": ["24M", "27M", "25.6M"],
        "size": ["96", "97", "101", "104", "98.0"],
        "layers": ["49", "53"],
        "flops": ["3.7×10^9", "4.0×10^9", "7.7×10^9", "3.8e9"],
        "input": ["224×224", "299×299×3"],
        "output": ["1001", "1000.0"],
        "activation": ["relu", "GELU"],
    },
    "alexnet": {"parameters_short": ["59M", "62M"], "layers": ["5", "9"], "input": ["227×227×3"]},
    "inception_v1": {"parameters_short": ["5M", "8M"], "layers": ["21", "57", "27"]},
    "mobilenet": {"layers": ["29", "31"], "top1_short": ["70%", "72%"]},
    "resnet34": {"flops": ["3.5×10^9", "3.8×10^9"], "parameters": ["21.9M", "21.6M"]},
    "shufflenet_v2_x1_0": {"flops": ["147M", "144M"], "parameters": ["2.1M", "2.4M"]},
    "vgg16": {"depth": ["23", "13"], "parameters": ["138.2M", "138.5M"], "size": ["527", "530", "555"]},
    "mobilenet_v2": {"depth": ["88", "104"], "parameters": ["3.4M", "3.6M"], "size": ["12", "16"]},
    "efficientnet_b0": {"depth": ["131"], "parameters": ["5.1M", "5.4M"], "size": ["28", "30", "19", "24"]},
    "efficientnet_lite0": {"parameters": ["4.5M", "4.8M"], "madds": ["408M", "385M", "400M"]},
    "convnext_tiny": {"parameters": ["28.4M", "28.7M"], "size": ["108", "109.00", "109.60", "112"]},
}


def with_figure(card: Card, column: str, printed: str) -> Card:
    return dataclasses.replace(card, figures={**card.figures, column: Figure(printed, "review")})


@pytest.mark.parametrize("name", WRONG)
def test_no_other_print_is_explained(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    anatomy, card = checking.measure(name), find_card(name)
    monkeypatch.setattr(checking, "measure", lambda name: anatomy)
    assert check(name).unexplained == ()
    for column, prints in WRONG[name].items():
        for printed in prints:
            assert card.figures.get(column) != Figure(printed, "review")
            wrong = with_figure(card, column, printed)
            monkeypatch.setattr(checking, "find_card", lambda name, wrong=wrong: wrong)
            (cell,) = check(name).unexplained
            assert (cell.column, cell.published) == (column, printed)
            assert cell.rule in ("no rule", "differs", checking.NOT_HERE)
            assert not cell.explained


def test_an_exception_is_of_one_net_one_column_and_one_print(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = next(each for each in exceptions() if each.net == "efficientnet_lite0")
    other = find_card("efficientnet_lite1")
    monkeypatch.setattr(checking, "find_card", lambda name: with_figure(other, listed.column, listed.printed))
    assert [cell.column for cell in check(other.name).unexplained] == [listed.column]


def test_the_table_counts_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    right, lite = check("resnet50"), check("efficientnet_lite0")
    (note,) = table([right, lite]).notes
    assert f"{len(right.cells) + len(lite.cells)} figures of 2 nets: 0 unexplained, 1 on the list" in note
    wrong = with_figure(find_card("resnet50"), "depth", "50")
    monkeypatch.setattr(checking, "find_card", lambda name: wrong)
    assert "1 unexplained, 0 on the list" in table([check("resnet50")]).notes[0]
    assert "depth: 50 | 107 | no rule" in str(check("resnet50"))


def test_blank_depths_stand_in_the_table_as_measured() -> None:
    rows = {row["column"]: row for row in table([check("efficientnetv2_b0")]).rows}
    assert rows["depth"] == {
        "net": "efficientnetv2_b0",
        "column": "depth",
        "published": None,
        "measured": 151,
        "difference": None,
        "rule": checking.NOT_PUBLISHED,
    }
    assert "| efficientnetv2_b0 | depth | - | 151 |" in table([check("efficientnetv2_b0")]).markdown()

"""Filters and orders over the cards, and what figures are worth."""

from __future__ import annotations

import math

import pytest

from convatlas.base.errors import ConvAtlasError, UnknownName
from convatlas.catalogue.cards import cards, families, find_card
from convatlas.catalogue.list_nets import NUMBERS, figure_value, list_nets
from convatlas.catalogue.printed import parse_figure


def names(**filters: object) -> list[str]:
    return [card.name for card in list_nets(**filters)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("printed", "number"),
    [
        ("22.9M", 22.9e6),
        ("60K", 6e4),
        ("1.44B", 1.44e9),
        ("79.0%", 79.0),
        ("3.8e9", 3.8e9),
        ("3.8×10^9", 3.8e9),
        ("109.42", 109.42),
        ("1310", 1310.0),
        ("60,000", 6e4),
        ("1,310,000", 1.31e6),
        (" 16 ", 16.0),
    ],
)
def test_a_figure_is_worth_its_number(printed: str, number: float) -> None:
    assert parse_figure(printed) == pytest.approx(number, rel=1e-15)


def test_a_dash_is_not_a_number() -> None:
    assert math.isnan(parse_figure("-"))


@pytest.mark.parametrize(
    "wrong", ["", "--", "ReLU", "224×224×3", "1.2.3", "1,2", "1234,567", "-5", "5 M", "M", "1e", "nan", "٣"]
)
def test_what_is_no_figure_is_refused_in_one_line(wrong: str) -> None:
    with pytest.raises(ConvAtlasError, match="not a figure") as caught:
        parse_figure(wrong)
    assert "\n" not in str(caught.value)


def test_without_filters_all_nets_come_by_name() -> None:
    listed = names()
    assert sorted(listed) == sorted(cards())
    assert listed.index("resnet50") < listed.index("resnet101") < listed.index("vgg16")
    assert listed.index("resnet50") < listed.index("resnet50_v2")


@pytest.mark.parametrize("family", families())
def test_families_divide_the_nets(family: str) -> None:
    assert names(family=family) == [name for name in names() if cards()[name].family == family]


def test_family_in_any_case() -> None:
    assert names(family="VGG") == ["vgg16", "vgg19"]


def test_years() -> None:
    assert names(year=2014) == ["alexnet_one_tower", "inception_v1", "vgg16", "vgg19"]
    assert set(names(year=(2020, 2022))) == {
        name for name in cards() if name.startswith(("efficientnetv2", "efficientnet_lite", "convnext"))
    }
    assert names(year=1998) == ["lenet5", "linear", "mlp_300", "mlp_300_100", "mlp_1000", "mlp_1000_150"]
    assert names(year=1979) == []


def test_limits_are_inclusive_and_take_numbers_or_print() -> None:
    small = ["lenet1", "lenet4", "lenet5", "matrix_capsnet", "matrix_capsnet_small", "mobilenet_v2"]
    small += ["shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5"]
    assert names(max_parameters=3.5e6) == names(max_parameters="3.5M") == small
    assert names(min_top1=86.3) == names(min_top1="86.3%") == ["convnext_large", "convnext_xlarge"]
    assert names(max_parameters=0) == []


def test_filters_meet() -> None:
    assert names(family="efficientnet", max_parameters="6M", min_top1=76) == [
        "efficientnet_b0",
        "efficientnet_lite1",
    ]


def test_lineage() -> None:
    assert names(lineage="lite") == ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]


@pytest.mark.parametrize("column", NUMBERS)
def test_sorts_put_what_is_missing_last(column: str) -> None:
    for sort in (column, f"-{column}"):
        numbers = [figure_value(card, column) for card in list_nets(sort=sort)]
        present = [number for number in numbers if not math.isnan(number)]
        assert len(present) > 0
        assert not any(math.isnan(number) for number in numbers[: len(present)])
        assert present == sorted(present, reverse=sort.startswith("-"))


def test_sorts_by_words() -> None:
    assert names(sort="family") == list(cards())
    assert names(sort="-name") == names()[::-1]
    years = [card.year for card in list_nets(sort="year")]
    assert years == sorted(years)
    resnets = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
    assert names(sort="year", year=2015) == [*resnets, "inception_v3", "yolo_v1", "yolo_v1_tiny"]


@pytest.mark.parametrize(
    "wrong",
    [{"family": "resnets"}, {"family": ""}, {"lineage": "torchvison"}, {"sort": "parametres"}, {"sort": "-"}],
)
def test_wrong_words_are_told_the_right_ones(wrong: dict[str, str]) -> None:
    with pytest.raises(UnknownName) as caught:
        names(**wrong)
    assert "\n" not in str(caught.value)
    assert any(hint in str(caught.value) for hint in ("did you mean", "known:"))


def test_a_limit_that_is_no_figure_is_refused() -> None:
    with pytest.raises(ConvAtlasError, match="'much' is not a figure"):
        names(max_parameters="much")


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"sort": 3}, "no order is called 3"),
        ({"sort": ["name"]}, "no order is called"),
        ({"family": 3}, "no family is called 3"),
        ({"lineage": ["keras"]}, "no lineage is called"),
        ({"year": "2015"}, r"a year is a whole number, or a range is a pair \(first, last\); got '2015'"),
        ({"year": (2015,)}, "a year is a whole number"),
        ({"max_parameters": [1]}, r"a limit is a number, as 25e6, or a text, as '25M'; got \[1\]"),
        ({"min_top1": True}, "a limit is a number"),
    ],
)
def test_arguments_of_other_types(wish: dict[str, object], message: str) -> None:
    with pytest.raises(ConvAtlasError, match=message):
        list_nets(**wish)


@pytest.mark.parametrize("name", ["net.onnx", "folder/Net.ONNX", "net.xml", "net.tflite"])
def test_a_graph_of_other_programs_is_explained(name: str) -> None:
    with pytest.raises(UnknownName, match="is a graph for other programs, which is not read back; a net is given by"):
        find_card(name)

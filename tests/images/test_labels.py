"""The thousand names and synsets of ImageNet-1k."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from convatlas.base.errors import UnknownName
from convatlas.images.labels import labels, synsets


def test_there_are_a_thousand_of_each() -> None:
    assert len(labels()) == len(synsets()) == 1000
    assert labels("imagenet1k") is not None
    assert all(name == name.strip() and name and "_" not in name for name in labels())
    assert all(re.fullmatch(r"n\d{8}", synset) for synset in synsets())


def test_the_order_is_that_of_the_synsets() -> None:
    assert list(synsets()) == sorted(set(synsets()))


def test_no_two_names_are_alike() -> None:
    assert len({name.casefold() for name in labels()}) == 1000


@pytest.mark.parametrize(
    ("index", "synset", "name"),
    [
        (0, "n01440764", "tench"),
        (134, "n02012849", "crane (bird)"),
        (264, "n02113186", "Cardigan, Cardigan Welsh corgi"),
        (281, "n02123045", "tabby"),
        (285, "n02124075", "Egyptian cat"),
        (474, "n02963159", "cardigan (jacket)"),
        (517, "n03126707", "crane (machine)"),
        (638, "n03710637", "maillot (tights)"),
        (639, "n03710721", "maillot, tank suit"),
        (657, "n03773504", "missile"),
        (744, "n04008634", "projectile"),
        (967, "n07920052", "espresso"),
        (999, "n15075141", "toilet tissue"),
    ],
)
def test_known_classes(index: int, synset: str, name: str) -> None:
    assert (synsets()[index], labels()[index]) == (synset, name)


def test_timm_agrees_on_the_order() -> None:
    package = importlib.util.find_spec("timm")
    assert package is not None
    assert package.origin is not None
    listed = Path(package.origin).parent / "data" / "_info" / "imagenet_synsets.txt"  # importing timm takes seconds
    assert tuple(listed.read_text().split()) == synsets()


def test_an_unknown_name_gets_the_known_one() -> None:
    for names in (labels, synsets):
        with pytest.raises(UnknownName, match="imagenet1k"):
            names("imagenet")


def test_eighty_classes_of_coco() -> None:
    from torchvision.models._meta import _COCO_CATEGORIES as theirs

    # Theirs has places for the numbers that the data set leaves out.
    assert labels("coco") == tuple(name for name in theirs[1:] if name != "N/A")
    assert (labels("coco")[0], labels("coco")[16], len(labels("coco"))) == ("person", "dog", 80)


def test_twenty_classes_of_voc() -> None:
    from torchvision.models._meta import _VOC_CATEGORIES as theirs

    assert labels("voc") == tuple(theirs[1:])
    assert len(labels("voc")) == 20


def test_darknet_s_order_of_imagenet() -> None:
    assert sorted(synsets("imagenet1k_darknet")) == list(synsets())
    by_synset = dict(zip(synsets(), labels(), strict=True))
    assert labels("imagenet1k_darknet") == tuple(by_synset[synset] for synset in synsets("imagenet1k_darknet"))
    assert [labels("imagenet1k_darknet")[place] for place in (0, 1, 7, 999)] == [
        "kit fox", "English setter", "Egyptian cat", "dumbbell"
    ]  # fmt: skip


def test_boxes_have_no_synsets() -> None:
    with pytest.raises(UnknownName, match="imagenet1k"):
        synsets("coco")

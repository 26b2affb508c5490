"""Cards: the published facts of each net, in the order of the review."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from convatlas.base.errors import UnknownName, unknown
from convatlas.base.terminal.brief import Brief
from convatlas.catalogue.data_files import file_names, read
from convatlas.catalogue.lineages import weights_of

GRAPHS = (".onnx", ".xml", ".tflite")
"""Endings of files that only other programs run; one of them may be given where a net is expected."""


@dataclass(frozen=True)
class Paper:
    """The paper that introduced a net.

    `code` is the address of the authors' own implementation and `code_license` its SPDX name; both are empty if
    unknown.
    """

    title: str
    authors: tuple[str, ...]
    venue: str
    link: str
    code: str = ""
    code_license: str = ""


@dataclass(frozen=True)
class Source:
    """A publication that printed figures; `where` names the part of it, `link` is empty if there is none."""

    title: str
    authors: tuple[str, ...]
    venue: str
    where: str
    link: str = ""


@dataclass(frozen=True)
class Figure:
    """A published figure: its text as `printed`, and the key of its source in `sources()`."""

    printed: str
    source: str


@dataclass(frozen=True)
class Card(Brief):
    """Published facts of one net; it never holds measured figures.

    Attributes:
        name: Name in lower case with underscores: "efficientnetv2_b0".
        published_name: Name as its authors or the review spell it: "EfficientNetV2B0".
        family: Name of its data file, and of the module in `nets/families`.
        year: Year in which the net was first published; of the perceptrons, that of the paper with their figures.
        paper: Paper that introduced it.
        new: New ideas it introduced, in a few words.
        input: Height, width and channels of the default input.
        outputs: Number of outputs for one photo.
        output_kind: Kind of the outputs with the published output gene: "logits"; "squashed" by an activation function,
            with targets 1 and -1; "negative distances", the negative squared distance to a point for each class;
            "capsule lengths" and "capsule activations", in 0..1; "cell responses" of a net without classes.
        probabilities: Function from outputs to probabilities: "softmax"; "halved", (1 + y) / 2 clamped to 0..1 and
            divided by the sum, since the least squared error to targets 1 and -1 is at y = 2 p - 1; "identity", where
            each output by itself is the probability that its class is present; "none".
        figures: Figures by column, without unpublished ones. Columns of numbers: depth (layers with weights),
            parameters, parameters_short (the same, printed elsewhere with fewer digits), size (of the weight file, in
            MB), top1 and top5 (accuracy on the ImageNet validation photos, in percent), top1_short (top1 with fewer
            digits), top1_error and top5_error (100 minus accuracy), map_voc and map_coco (mean average precision of
            boxes, on VOC 2007's test photos and at an overlap of 0.5 on COCO's test-dev), flops, madds (multiply-adds),
            layers (as the net's own name counts), output (number of outputs), connections and units (as in `Anatomy`),
            error (on the test digits of MNIST), error_distorted and error_deslanted (the same after training on
            distorted digits, and with all digits deslanted), error_smallnorb (on the test photos of smallNORB),
            error_repeated and error_smallnorb_repeated (the same errors in reimplementations). Columns of words: input,
            activation, perk, error_summary (the error in the review's summary, which gives some nets one range
            together).
        aliases: Other names of the net.
        weight_names: Scheme of the weights' names in the file whose size was printed: "plain" (layer/weight) or
            "scoped" (several scopes around each layer).
        idea: Year in which the idea was published, if the net itself came later.
        classes: Number of classes, if it differs from `outputs`.
        note: Caveats, such as disputed claims or reconstructed parts; empty for most nets.
    """

    name: str
    published_name: str
    family: str
    year: int
    paper: Paper
    new: str
    input: tuple[int, int, int]
    outputs: int
    output_kind: str
    probabilities: str
    figures: Mapping[str, Figure] = field(hash=False)
    aliases: tuple[str, ...] = ()
    weight_names: str = "plain"
    idea: int | None = None
    classes: int | None = None
    note: str = ""

    @property
    def dated(self) -> str:
        """The year, and that of an older idea: "1998 (idea 1958)"."""
        return f"{self.year} (idea {self.idea})" if self.idea else str(self.year)

    @property
    def lineages(self) -> tuple[str, ...]:
        """Lineages (publishers of weights) that can be loaded, such as "keras" and "torchvision"; the default first."""
        return tuple(dict.fromkeys(row.origin for row in weights_of(self.name)))


def cards() -> dict[str, Card]:
    """Return the cards of all nets by name, in the order of the review, as a new dictionary; study nets are apart."""
    return dict(_cards())


def study_cards() -> dict[str, Card]:
    """Return the cards, by name, of the nets that only studies use, which are not among the nets of the review."""
    return dict(_study_cards())


def find_card(name: str) -> Card:
    """Return the card of the net called `name`; case and punctuation do not matter.

    Raises:
        UnknownName: No net has this name; the message lists the nearest names.
    """
    card = _index().get(_normalized(str(name)))
    if card is None:
        if str(name).lower().endswith(GRAPHS):
            raise UnknownName(
                f"{str(name)!r:.100} is a graph for other programs, which is not read back; a net is given by its "
                "name, as package.module:callable, as a .pt2 file or as a file of weights"
            )
        raise unknown("net", name, _cards())
    return card


def sources() -> dict[str, Source]:
    """Return the publications that printed figures, by key, from `sources.toml` and the families' files."""
    tables = (read("sources"), *(read(family).get("sources", {}) for family in (*families(), *study_families())))
    return {key: Source(**_tuples(data)) for table in tables for key, data in table.items()}


def families() -> list[str]:
    """Return the families in the order of the review: the data files that have nets, sorted by their `order`."""
    return list(_families()[0])


def study_families() -> list[str]:
    """Return the families of nets that only studies use: the data files that say `study = true`."""
    return list(_families()[1])


@cache
def _families() -> tuple[tuple[str, ...], tuple[str, ...]]:
    files = {name: data for name in file_names() if "nets" in (data := read(name))}
    names = sorted(files, key=lambda name: (files[name].get("order", math.inf), name))
    studied = tuple(name for name in names if files[name].get("study"))
    return tuple(name for name in names if name not in studied), studied


@cache
def _cards() -> dict[str, Card]:
    return {card.name: card for family in families() for card in _cards_of(family)}


@cache
def _study_cards() -> dict[str, Card]:
    return {card.name: card for family in study_families() for card in _cards_of(family)}


@cache
def _index() -> dict[str, Card]:
    return {
        _normalized(spelling): card
        for card in (*_cards().values(), *_study_cards().values())
        for spelling in (*card.aliases, card.name, card.published_name)
    }


def _normalized(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _cards_of(family: str) -> list[Card]:
    data = read(family)
    papers = {key: Paper(**_tuples(series.pop("paper"))) for key, series in data["series"].items()}
    family_cards = []
    for name, net in data["nets"].items():
        key = net.pop("series")
        net.pop("descent", None)
        figures = {
            column: Figure(printed, source)
            for source, printed_here in net.pop("figures").items()
            for column, printed in printed_here.items()
        }
        fields = {**data["output"], **data["series"][key], **net}
        family_cards.append(Card(name=name, family=family, paper=papers[key], figures=figures, **_tuples(fields)))
    return family_cards


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}

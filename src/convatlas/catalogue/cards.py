"""The cards of the atlas: one net, one card, in the order of the review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from convatlas.base.errors import unknown
from convatlas.catalogue.reading import read


@dataclass(frozen=True)
class Paper:
    """Where a net comes from.

    `code` is the address of the authors' own implementation and `code_license` its SPDX name; both are empty where they
    are not known.
    """

    title: str
    authors: tuple[str, ...]
    venue: str
    link: str
    code: str = ""
    code_license: str = ""


@dataclass(frozen=True)
class Source:
    """Where figures were printed: `where` names the part, `link` is empty for what has no address."""

    title: str
    authors: tuple[str, ...]
    venue: str
    where: str
    link: str = ""


@dataclass(frozen=True)
class Figure:
    """One published figure: the characters as `printed`, and the key of its source in `sources()`."""

    printed: str
    source: str


@dataclass(frozen=True)
class Card:
    """What is published of one net; what is measured of it never stands here.

    Attributes:
        name: Lower case with underscores: "efficientnetv2_b0".
        published_name: As its authors or the review spell it: "EfficientNetV2B0".
        family: The name of its data file.
        year: When it was first made public.
        paper: Where.
        new: What it introduced, in a few words.
        input: Height, width and channels of the default input.
        outputs: How many numbers the net puts out for one photo.
        output_kind: What these numbers are: "logits", "capsule lengths", "capsule activations" or "cell responses".
        probabilities: The map that makes probabilities of them: "softmax"; "identity", where each number is by itself
            the probability that its class is there; "none".
        figures: By column; a figure that nobody printed is absent. Columns of numbers: depth (layers that own weights),
            parameters, parameters_short (the same, printed elsewhere with fewer digits), size (of the weight file, in
            MB), top1 and top5 (accuracy on the ImageNet validation photos), error_mnist and the like (the share of
            another data set's test photos that is answered wrongly; with _repeated, by somebody else), flops, madds
            (multiply-adds), layers (as the net's own name counts), output (numbers put out). Columns of words: input,
            activation, perk.
        lineages: Of its weights that are at hand without a download from a net's own site.
        weight_names: How the weights are named inside the file whose size was printed: "plain" (layer/weight) or
            "scoped" (several scopes around each layer).
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
    lineages: tuple[str, ...] = ()
    weight_names: str = "plain"


def cards() -> dict[str, Card]:
    """The card of every net by its name, in the order of the review; the dictionary is the caller's own."""
    return dict(_cards())


def find(name: str) -> Card:
    """The card of the net called `name`, in any case and with or without the signs between its words.

    Raises:
        UnknownName: No net is called so; the text lists the nearest names.
    """
    card = _index().get(_plain(name))
    if card is None:
        raise unknown("net", name, _cards())
    return card


def sources() -> dict[str, Source]:
    """Where the figures were printed, by the key that each `Figure` carries."""
    return {key: Source(**_tuples(data)) for key, data in read("sources").items()}


def families() -> list[str]:
    """The families in the order of the review."""
    return list(read("families")["families"])


@cache
def _cards() -> dict[str, Card]:
    return {card.name: card for family in families() for card in _family(family)}


@cache
def _index() -> dict[str, Card]:
    return {_plain(spelling): card for card in _cards().values() for spelling in (card.name, card.published_name)}


def _plain(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())


def _family(family: str) -> list[Card]:
    data = read(family)
    papers = {key: Paper(**_tuples(series.pop("paper"))) for key, series in data["series"].items()}
    shared = data["output"]
    made = []
    for name, net in data["nets"].items():
        key = net.pop("series")
        figures = {
            column: Figure(printed, source)
            for source, printed_here in net.pop("figures").items()
            for column, printed in printed_here.items()
        }
        fields = {**data["series"][key], **net}
        made.append(Card(name=name, family=family, paper=papers[key], figures=figures, **shared, **_tuples(fields)))
    return made


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}

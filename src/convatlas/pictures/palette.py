"""Colours: one for each locus of genes, on which dark text is readable, and a series for charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

COLOURS = {
    "convolution": "#9cc3ea",
    "pooling": "#f3b36b",
    "normalization": "#d5d1ee",
    "activation": "#f8e58c",
    "attention": "#f2a3a0",
    "routing": "#8fd0c8",
    "feedback": "#c5d86d",
    "skip": "#b5dcae",
    "dense": "#d9a6d3",
    "flattening": "#e6cda6",
    "regularization": "#d4dadd",
    "padding": "#e4e4e0",
    "other": "#dfe3e6",
}
"""Fill by locus; the hues stay distinct for colour-blind readers."""

MEANINGS = {
    "convolution": "convolution",
    "pooling": "pooling",
    "normalization": "normalization",
    "activation": "activation",
    "attention": "attention",
    "routing": "routing",
    "feedback": "feedback",
    "skip": "sum, product, concatenation",
    "dense": "dense",
    "flattening": "flattening",
    "regularization": "regularization",
    "padding": "padding",
    "other": "other",
}
"""Legend text by locus."""


def colour(locus: str) -> str:
    """Return the colour of a locus."""
    return COLOURS.get(locus, COLOURS["other"])


APART = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
"""Colours that everybody can tell apart (Okabe and Ito 2008)."""

REST, OTHERS = "#79828c", "others"
"""Colour and label of all groups that have no colour of their own."""


def colours_apart(groups: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the colour and the label of each group: the largest have one of their own, all others share one.

    Args:
        groups: The group of each thing that is shown, in the order in which the legend names them.
    """
    counts = Counter(groups)
    ranked = [name for name, count in counts.most_common(len(APART)) if count > 1]
    own = [name for name in counts if name in ranked]
    colours = {name: (colour, name) for name, colour in zip(own, APART, strict=False)}
    return {name: colours.get(name, (REST, OTHERS)) for name in counts}


SERIES = (
    "#4c78a8", "#f58518", "#54a24b", "#72b7b2", "#e45756", "#b279a2", "#9d755d", "#eeca3b", "#ff9da6", "#2f4b7c",
    "#88d27a", "#d67195", "#79706e", "#0b6e4f", "#6a3d9a", "#bab0ac",
)  # fmt: skip
"""Colours of a chart's series, in order."""

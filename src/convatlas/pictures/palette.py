"""Colours: one for each locus of genes, and a series of them for charts; dark text is readable on those of loci."""

from __future__ import annotations

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


SERIES = (
    "#4c78a8", "#f58518", "#54a24b", "#72b7b2", "#e45756", "#b279a2", "#9d755d", "#eeca3b", "#ff9da6", "#2f4b7c",
    "#88d27a", "#d67195", "#79706e", "#0b6e4f", "#6a3d9a", "#bab0ac",
)  # fmt: skip
"""Colours of a chart's series, in order."""

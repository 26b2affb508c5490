"""One colour a gene, dark text on each of them; the hues stay apart for those who see few."""

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
"""By locus."""

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
"""What the legend says."""


def colour(locus: str) -> str:
    """The colour of a locus."""
    return COLOURS.get(locus, COLOURS["other"])

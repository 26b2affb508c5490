"""Description of the study "genes"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convatlas.studies.comparison import Comparison, closing, comparison_study, rows_of, sections
from convatlas.studies.genes.parts import PARTS
from convatlas.studies.variation_chart import variation_chart
from convatlas.training.plots import save_chart


def draw(folder: Path, rows: Sequence[Mapping[str, Any]], suffix: str = "") -> list[Path]:
    """Write a chart for each net; return their paths."""
    paths = []
    for part in PARTS:
        shown = rows_of([row for row in rows if row["part"] == part.key])
        if shown:
            chart = variation_chart(shown, part.title, "")
            paths.append(save_chart(folder / f"genes_{part.key}{suffix}.png", chart))
    return paths


def page(result: Comparison) -> str:
    """Return the page of the docs."""
    parts = sections(result, "![accuracy and costs of the variants](genes_KEY.png)")
    end = f"## What it does not show\n\n{LIMITS}\n\n{closing(result, 'genes')}"
    return "\n\n".join([f"# What the genes express\n\n{TEXT}", *parts, end]) + "\n"


TEXT = (
    "The review says that padding, pooling, flattening and normalization express different outcomes. Here each of "
    "these genes, and attention and transfer functions, is changed alone in two nets, which are trained alike on "
    "Fashion-MNIST and compared on its 10,000 test photos. A difference is called real by a test that is paired by "
    "seed and photo and corrected for the number of variants of the net ([training.md](../training.md))."
)
LIMITS = (
    "All variants have the recipe of the unchanged net: a gene that needs another learning rate, or more epochs, is "
    "at a disadvantage. Genes are changed one at a time, so nothing is said about genes together. The nets are small "
    "and the photos too; what holds here need not hold for large nets on photos in colour. With three seeds a small "
    "difference may be missed."
)

STUDY = comparison_study(
    name="genes",
    shows="what padding, pooling, flattening, normalization, attention and transfer function change in two nets",
    seeds=3,
    parts=PARTS,
    draw=draw,
    page=page,
)

"""Options that several commands share, and functions that read their values."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from convatlas.base.errors import ConvAtlasError, GeneError

Json = Annotated[bool, typer.Option("--json", help="Print JSON, with unrounded values.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")]
NetName = Annotated[
    str, typer.Option("--net", help="Name of a net, or package.module:callable with --weights; or a native file.")
]
AnyNet = Annotated[
    str, typer.Argument(help="Name of a net, package.module:callable, or a .pt2 file.", show_default=False)
]
Size = Annotated[
    str | None, typer.Option("--size", help="Side of the photos in pixels, or HEIGHTxWIDTH; by default as published.")
]
InputShape = Annotated[
    list[str] | None,
    typer.Option(
        "--input-shape",
        metavar="SIDE,...",
        help="Shape of your own net's input without the batch: 1,16000; repeat the option for each further input.",
    ),
]
Genes = Annotated[
    list[str] | None,
    typer.Option("--genes", metavar="LOCUS=NAME,...", help="Genes to change: activation=gelu,pooling=max."),
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", help="Lineage (keras, torchvision, timm/a1_in1k, ...) or file; by default the first."),
]
AnyWeights = Annotated[
    str | None,
    typer.Option("--weights", help="Lineage or file; none for random weights; by default the net's first lineage."),
]
Convention = Annotated[
    str | None,
    typer.Option("--convention", help="For a file of weights that fits several lineages: the one it is from."),
]
Labels = Annotated[
    str | None, typer.Option("--labels", help="For a file of weights: text file with the name of a class on each line.")
]
Family = Annotated[str | None, typer.Option("--family", help="Only this family: resnet, vgg, ...")]
Year = Annotated[str | None, typer.Option("--year", help="Only nets of this year, or of FIRST-LAST.")]
MaxParameters = Annotated[
    str | None, typer.Option("--max-parameters", help="Maximum number of published parameters: 10M.")
]
MinTop1 = Annotated[float | None, typer.Option("--min-top1", help="Minimum published top-1 accuracy in percent.")]
WithLineage = Annotated[str | None, typer.Option("--lineage", help="Only nets with weights of this lineage: lite.")]
Threshold = Annotated[
    float, typer.Option("--threshold", help="Only objects with a score above this, from 0 to below 1.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Workers = Annotated[int, typer.Option("-j", "--workers", help="Processes that read photos ahead.")]


def parse_size(text: str | None) -> int | tuple[int, int] | None:
    """Read "224" or "224x320".

    Raises:
        ConvAtlasError: The text is neither.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and len(part) < 6 for part in parts):
        raise ConvAtlasError(f"a size is a number of pixels, or HEIGHTxWIDTH; got {text!r}")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def parse_shapes(texts: list[str] | None) -> tuple[tuple[int, ...], ...] | tuple[int, ...] | None:
    """Read "1,16000" as one shape, and several such texts as one shape each.

    Raises:
        ConvAtlasError: A text is no shape.
    """
    shapes = []
    for text in texts or []:
        sides = [side.strip() for side in text.split(",")]
        if not all(side.isdecimal() and len(side) < 10 for side in sides):
            raise ConvAtlasError(f"a shape is numbers with commas between them, as 1,16000; got {text!r:.100}")
        shapes.append(tuple(map(int, sides)))
    return tuple(shapes) if len(shapes) > 1 else shapes[0] if shapes else None


def parse_list(texts: list[str] | None) -> list[str]:
    """Return the values of an option that takes several: separated by commas, or the option repeated."""
    return [part.strip() for text in texts or [] for part in text.split(",") if part.strip()]


def parse_genes(texts: list[str] | None) -> dict[str, object]:
    """Read "LOCUS=NAME", or several separated by commas; a name may contain commas.

    Raises:
        GeneError: A text has another form, or a locus is named twice.
    """
    genes: dict[str, object] = {}
    for text in (part for option in texts or [] for part in re.split(r",(?=\s*\w+=)", option)):
        locus, equals, name = text.strip().partition("=")
        if not equals:
            raise GeneError(f"a gene is LOCUS=NAME, as activation=gelu; got {text!r}")
        if locus in genes:
            raise GeneError(f"a locus has one gene; got {locus}={genes[locus]} and {text}")
        genes[locus] = float(name) if locus in ("dropout", "stochastic_depth") and _is_number(name) else name
    return genes


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

"""The options that several commands have, and what their words mean."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.base.errors import ConvAtlasError, GeneError

Json = Annotated[bool, typer.Option("--json", help="As JSON, with the values themselves.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")]
Csv = Annotated[bool, typer.Option("--csv", help="As comma-separated values.")]
SizeOption = Annotated[
    str | None, typer.Option("--size", help="Side of the photos in pixels, or HEIGHTxWIDTH; as published if not said.")
]
Genes = Annotated[
    list[str] | None, typer.Option("--gene", help="Another gene, as LOCUS=NAME: activation=gelu; again for each.")
]
Net = Annotated[str, typer.Argument(help="A net of the atlas, or a file that `export` wrote.")]
WeightsOption = Annotated[
    str | None, typer.Option("--weights", help="A lineage (keras, torchvision, timm/a1_in1k, ...), or a file.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]


def size_of(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and len(part) < 6 for part in parts):
        raise ConvAtlasError(f"a size is a number of pixels, or HEIGHTxWIDTH; got {text!r}")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def genes_of(texts: list[str] | None) -> dict[str, object]:
    genes: dict[str, object] = {}
    for text in texts or []:
        locus, equals, name = text.partition("=")
        if not equals:
            raise GeneError(f"a gene is LOCUS=NAME, as activation=gelu; got {text!r}")
        if locus in genes:
            raise GeneError(f"two genes for one locus: {locus}={genes[locus]} and {text}")
        genes[locus] = float(name) if locus in ("dropout", "stochastic_depth") and _is_number(name) else name
    return genes


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

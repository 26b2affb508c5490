"""The command line: one command is one public function, with the same names of arguments."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from convatlas.base.errors import ConvAtlasError, GeneError
from convatlas.base.tables import Table

app = typer.Typer(
    name="convatlas",
    help="An atlas of convolutional neural nets that you can run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="As JSON, with the values themselves.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")]
Csv = Annotated[bool, typer.Option("--csv", help="As comma-separated values.")]
SizeOption = Annotated[
    str | None, typer.Option("--size", help="Side of the photos in pixels, or HEIGHTxWIDTH; as published if not said.")
]
Genes = Annotated[
    list[str] | None, typer.Option("--gene", help="Another gene, as LOCUS=NAME: activation=gelu; again for each.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]


def main() -> None:
    """Runs the command line; what a user can cause ends in one line on the error stream, and status 1 or 2."""
    codecs.register_error("convatlas", _spelled_out)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="convatlas")
    try:
        try:
            sys.exit(app(standalone_mode=False))
        finally:
            # Here, where it can be told, and not by Python at the end.
            if sys.stdout is not None:
                sys.stdout.flush()
    except ConvAtlasError as error:
        _complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        _complain("stopped")
        sys.exit(130)
    except OSError as error:
        # Nothing more may be written, not even by Python at the end. Whoever closes a pipe knows why.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            _complain(str(error))
        sys.exit(1)
    except Exception as error:
        # What a wrong word or option raises has its class in typer or in click, as versions go.
        told = getattr(error, "format_message", None)
        if told is None:
            raise
        # Where there is nothing to tell, the help was printed already.
        if told():
            _complain(f"{told().rstrip('.')}; see convatlas --help")
        sys.exit(2)


def _spelled_out(error: UnicodeError) -> tuple[str, int]:
    """Signs that the output's encoding lacks, as JSON escapes them: what is JSON stays it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


@app.command(name="list")
def list_command(
    family: Annotated[str | None, typer.Option(help="Only this family: resnet, vgg, ...")] = None,
    year: Annotated[str | None, typer.Option(help="Only of this year, or of FIRST-LAST.")] = None,
    max_parameters: Annotated[str | None, typer.Option(help="At most so many parameters: 10M.")] = None,
    min_top1: Annotated[float | None, typer.Option(help="At least this published top-1 accuracy in percent.")] = None,
    lineage: Annotated[str | None, typer.Option(help="Only nets with these weights: lite.")] = None,
    sort: Annotated[str, typer.Option(help="By which column; with a minus before it, from large to small.")] = "family",
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """The nets of the atlas: what is published of each, and what was measured."""
    _one(as_json, markdown, csv)
    from convatlas.anatomy.overview import overview

    table = overview(
        family=family,
        year=year,
        max_parameters=max_parameters,
        min_top1=min_top1,
        lineage=lineage,
        sort=sort,
    )
    _print(table, as_json, markdown, csv)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NET|GENE", help="A net, or a gene or locus: resnet50, gelu, pooling.")
    ],
    layers: Annotated[bool, typer.Option("--layers", help="Every layer, not only the stages.")] = False,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """What a net is: its card, its genes, its anatomy; or what a gene is."""
    _one(as_json, markdown, csv)
    from convatlas.anatomy.showing import gene_table, show_net

    genes = gene_table(name)
    if genes is not None:
        _print(genes, as_json, markdown, csv)
        return
    shown = show_net(name)
    if as_json:
        print(shown.to_json())
        return
    for table in shown.tables(layers)[-1:] if csv else shown.tables(layers):
        _print(table, False, markdown, csv)
        if not csv:
            print()


@app.command()
def measure(
    net: Annotated[str, typer.Argument(help="A net of the atlas, or your own as package.module:callable.")],
    size: SizeOption = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the photos.")] = None,
    classes: Annotated[int | None, typer.Option(help="Outputs.")] = None,
    gene: Genes = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Every layer of a net, measured: shapes, parameters, arithmetic, memory, receptive field, wiring."""
    _one(as_json, markdown, csv)
    from convatlas.anatomy.measuring import measure as measured

    anatomy = measured(net, size=_size(size), channels=channels, classes=classes, genes=_genes(gene))
    if as_json:
        print(anatomy.to_json())
    else:
        _print(anatomy.table(), False, markdown, csv)


@app.command()
def check(
    nets: Annotated[
        list[str] | None, typer.Argument(help="Which nets; all that have published figures if not said.")
    ] = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Published figures against measured ones, and the rule that explains each difference."""
    _one(as_json, markdown, csv)
    from convatlas.anatomy.checking import checks, names, table

    wanted = names(nets or [])
    found = list(_progress(checks(wanted), len(wanted), "measuring"))
    _print(table(found), as_json, markdown, csv)


@app.command()
def classify(
    photos: Annotated[list[str] | None, typer.Argument(help="Photos, or folders of photos.")] = None,
    net: Annotated[str, typer.Option(help="Which net.")] = "efficientnet_lite0",
    top: Annotated[int, typer.Option(help="How many classes for each photo.")] = 5,
    samples: Annotated[bool, typer.Option("--samples", help="The sample photographs of scikit-image.")] = False,
    device: Device = "auto",
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """What is on photos. Those that cannot be read are named on the error stream; the others are still classified."""
    _one(as_json, markdown, csv)
    from convatlas.images.samples import SAMPLES, sample

    given = [*(photos or []), *([str(sample(name)) for name in SAMPLES] if samples else [])]
    if not given:
        raise ConvAtlasError("nothing to classify: name photos or folders, or say --samples")
    from convatlas.images.folders import photos as below
    from convatlas.weights.classifying import classifications, table

    files = below(given)
    found = list(_progress(classifications(files, net, top=top, device=device), len(files), "classifying"))
    good = [one for one in found if one.error is None]
    if as_json:
        print(json.dumps([one.to_dict() for one in found], indent=1, ensure_ascii=False))
    elif good:
        _print(table(good), False, markdown, csv)
    for one in found:
        if one.error is not None:
            _complain(one.error)
    if len(good) < len(found):
        sys.exit(1)


def _progress(steps: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    console = Console(stderr=True)
    if total < 2 or not console.is_terminal:
        return steps
    return track(steps, description=what, total=total, console=console, transient=True)


def _one(as_json: bool, markdown: bool, csv: bool) -> None:
    if as_json + markdown + csv > 1:
        raise ConvAtlasError("say one of --json, --markdown and --csv")


def _print(table: Table, as_json: bool, markdown: bool, csv: bool) -> None:
    if as_json:
        print(table.json())
    elif markdown:
        print(table.markdown())
    elif csv:
        print(table.csv())
    else:
        # A pipe has no width of its own, and a table cut at 80 columns is of no use to the next program.
        console = Console(width=None if sys.stdout is not None and sys.stdout.isatty() else 240)
        console.print(table.rich())


def _complain(text: str) -> None:
    line = " ".join(text.split())
    print(f"convatlas: {line}", file=sys.stderr)


def _size(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and len(part) < 6 for part in parts):
        raise ConvAtlasError(f"a size is a number of pixels, or HEIGHTxWIDTH; got {text!r}")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def _genes(texts: list[str] | None) -> dict[str, object]:
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

"""The command line: one command is one public function, with the same names of arguments."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Iterable
from itertools import chain, islice
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track

from convatlas.base.errors import ConvAtlasError, GeneError, UnknownName
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
Net = Annotated[str, typer.Argument(help="A net of the atlas, or a file that `export` wrote.")]
WeightsOption = Annotated[
    str | None, typer.Option("--weights", help="A lineage (keras, torchvision, timm/a1_in1k, ...), or a file.")
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
    family_tree: Annotated[
        bool, typer.Option("--family-tree", help="Which net built on which, and what each introduced.")
    ] = False,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="The family tree as a picture, .svg or .png.")
    ] = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """The nets of the atlas: what is published of each, and what was measured."""
    _one(as_json, markdown, csv)
    if family_tree or output is not None:
        _family_tree(output, as_json)
        return
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
    dna: Annotated[bool, typer.Option("--dna", help="Its genes as one short sequence, stage by stage.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Its stages as papers print them, for LaTeX.")] = False,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """What a net is: its card, its genes, its anatomy; or what a gene is."""
    _one(as_json, markdown, csv)
    if dna or latex:
        _sequence(name, latex, as_json)
        return
    from convatlas.anatomy.showing import gene_table, show_net

    try:
        shown = show_net(name)
    except UnknownName:
        genes = gene_table(name)
        if genes is None:
            raise
        _print(genes, as_json, markdown, csv)
        return
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


def _sequence(name: str, latex: bool, as_json: bool) -> None:
    """A net's DNA, a stage a line, or its table for LaTeX."""
    from convatlas.anatomy.dna import dna
    from convatlas.anatomy.measuring import measure as measured
    from convatlas.anatomy.papertable import latex as tabular

    anatomy = measured(name)
    if latex:
        print(tabular(anatomy), end="")
    else:
        print(dna(anatomy).to_json() if as_json else "\n".join(dna(anatomy).lines()))


def _family_tree(output: str | None, as_json: bool) -> None:
    from convatlas.catalogue.descent import descent, tree

    if output is not None:
        from convatlas.anatomy.drawing.lineage import family_tree

        print(family_tree().save(output))
    else:
        print(json.dumps([vars(line) for line in descent()], ensure_ascii=False, indent=1) if as_json else tree())


@app.command()
def draw(
    net: Annotated[str, typer.Argument(help="A net of the atlas, package.module:callable, or a .pt2 file.")],
    output: Annotated[str, typer.Option("-o", "--output", help="Where to: a .svg or .png file.")],
    style: Annotated[str, typer.Option(help="blocks, or boxes: stacks of maps as LeNet-5 was drawn.")] = "blocks",
    expand: Annotated[
        str | None, typer.Option(help="A stage, or a block in one, to be shown with every layer by itself.")
    ] = None,
    size: SizeOption = None,
    gene: Genes = None,
    field: Annotated[
        str | None, typer.Option(metavar="LAYER[,ROW,COLUMN]", help="What a unit sees of the photo.")
    ] = None,
    maps: Annotated[str | None, typer.Option(metavar="LAYER", help="The layer's feature maps for the photo.")] = None,
    filters: Annotated[bool, typer.Option("--filters", help="The kernels of the first convolution.")] = False,
    pixel: Annotated[
        str | None,
        typer.Option(metavar="LAYER,CHANNEL,ROW,COLUMN", help="How a convolution makes one number of its map."),
    ] = None,
    photo: Annotated[
        str | None, typer.Option(help="For --field, --maps and --pixel; a sample photo if not said.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="A lineage or a file, as in classify; none for random ones.")
    ] = None,
) -> None:
    """A picture of a net, or of what goes on in it when it sees a photo."""
    if (field is not None) + (maps is not None) + filters + (pixel is not None) > 1:
        raise ConvAtlasError("say one of --field, --maps, --filters and --pixel")
    if field is None and maps is None and pixel is None and not filters:
        from convatlas.anatomy.measuring import measure as measured

        anatomy = measured(net, size=_size(size), genes=_genes(gene))
        print(anatomy.draw(style=style, expand=expand).save(output))
        return
    from convatlas.images.samples import sample
    from convatlas.weights.looking import look

    looked = look(
        net,
        photo or sample("chelsea"),
        field=field,
        maps=maps,
        filters=filters,
        pixel=pixel,
        weights=weights,
        size=_size(size),
    )
    print(looked.save(output))


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A net of the atlas, or your own.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """What differs between two nets, in words: totals, genes, and their DNA aligned."""
    _one(as_json, markdown, csv)
    from convatlas.anatomy.comparing import compare as compared

    found = compared(first, second)
    if as_json:
        print(found.to_json())
        return
    for table in found.tables()[-1:] if csv else found.tables():
        _print(table, False, markdown, csv)
        if not csv:
            print()


@app.command()
def choose(
    max_parameters: Annotated[str | None, typer.Option(help="At most so many parameters: 10M.")] = None,
    max_megabytes: Annotated[float | None, typer.Option(help="Of the weights, at 4 bytes a parameter.")] = None,
    max_macs: Annotated[str | None, typer.Option(help="At most so many multiply-accumulates for a photo: 4B.")] = None,
    max_ms: Annotated[float | None, typer.Option(help="Milliseconds for a photo, as `bench` measured here.")] = None,
    min_top1: Annotated[float | None, typer.Option(help="At least this published top-1 accuracy in percent.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Only nets whose photos have sides of at most so many pixels.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="The cost: parameters, megabytes, macs or time.")] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", help="A bubble chart, .svg or .png.")] = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """The nets that no other beats in accuracy at the same cost, and one of them."""
    _one(as_json, markdown, csv)
    from convatlas.anatomy.choosing import choose as chosen

    found = chosen(
        max_parameters=max_parameters,
        max_megabytes=max_megabytes,
        max_macs=max_macs,
        max_ms=max_ms,
        min_top1=min_top1,
        size=size,
        by=by,
    )
    if as_json:
        print(found.to_json())
    else:
        _print(found.table(), False, markdown, csv)
    if output is not None:
        found.draw().save(output)


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
    weights: WeightsOption = None,
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
    found = list(
        _progress(classifications(files, net, weights=weights, top=top, device=device), len(files), "classifying")
    )
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


@app.command()
def detect(
    photos: Annotated[list[str], typer.Argument(help="Photos, or folders of photos.")],
    net: Annotated[str, typer.Option(help="Which detector.")] = "yolo_v3",
    weights: WeightsOption = None,
    threshold: Annotated[float, typer.Option(help="The score that an object has to exceed.")] = 0.25,
    top: Annotated[int, typer.Option(help="How many objects at most for each photo.")] = 100,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Where to draw the boxes: a picture, or a folder of them.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """What is where on photos. Those that cannot be read are named on the error stream; the others are searched."""
    _one(as_json, markdown, csv)
    from convatlas.images.annotating import places, save
    from convatlas.images.folders import photos as below
    from convatlas.weights.detecting import detections, table

    files = below(photos)
    found: list[Any] = []
    pictures = [] if output is None else places(files, output)
    steps = detections(files, net, weights=weights, threshold=threshold, top=top, device=device)
    for one in _progress(steps, len(files), "searching"):
        if pictures and one.error is None:
            save(one.draw(), pictures[len(found)])
        found.append(one)
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


@app.command()
def fetch(
    net: Annotated[str | None, typer.Argument(help="Which net.")] = None,
    weights: Annotated[str | None, typer.Option(help="Which weights: keras, torchvision, timm/a1_in1k, ...")] = None,
    listing: Annotated[bool, typer.Option("--list", help="All that are published, or those of the net.")] = False,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Published weights: which there are, or one set of them brought to this machine."""
    _one(as_json, markdown, csv)
    if listing:
        from convatlas.weights.listing import lineage_table

        _print(lineage_table(net), as_json, markdown, csv)
        return
    if net is None:
        raise ConvAtlasError("nothing to fetch: name a net, or say --list")
    from convatlas.weights.fetching import fetch as fetched

    path = str(fetched(net, weights=weights))
    print(json.dumps({"net": net, "file": path}) if as_json else path)


@app.command()
def evaluate(
    net: Net,
    data: Annotated[str, typer.Option(help="A folder of folders of classes, or of photos, with --truth.")],
    weights: WeightsOption = None,
    truth: Annotated[str | None, typer.Option(help="A file with the name and the class of each photo.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="A CSV file: a class of the data set, its name for the net.")
    ] = None,
    preprocessing: Annotated[str | None, typer.Option(help="Another lineage, to see what its way costs.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Top-1 and top-5 accuracy on photos whose classes are known, with 95 % intervals; goes on where it was stopped."""
    from convatlas.images.labelled import read_map
    from convatlas.weights.evaluating import evaluations

    given = read_map(classes) if classes else None
    parts = evaluations(
        net, data, weights=weights, truth=truth, classes=given, preprocessing=preprocessing, device=device
    )
    found = _watched(parts, "evaluating")
    for path in found.unreadable:
        _complain(f"{path} could not be read")
    print(found.to_json() if as_json else found)


@app.command()
def export(
    net: Net,
    file: Annotated[str, typer.Argument(help="Where to: .safetensors, .weights.h5 or .pth.")],
    weights: WeightsOption = None,
    layout: Annotated[str | None, typer.Option(help="own, keras, torchvision, timm or lite.")] = None,
) -> None:
    """A net's weights as a file: our own, or as the code of their origin reads them."""
    from convatlas.weights.exporting import export as exported
    from convatlas.weights.loading import load

    print(exported(load(net, weights=weights), file, layout=layout))


def _progress(steps: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    console = Console(stderr=True)
    if total < 2 or not console.is_terminal:
        return steps
    return track(_begun(steps), description=what, total=total, console=console, transient=True)


def _begun(steps: Iterable[Any]) -> Iterable[Any]:
    """The same steps, the first one taken: what it downloads has a bar of its own, and two at once would garble."""
    following = iter(steps)
    return chain(list(islice(following, 1)), following)


def _watched(parts: Iterable[tuple[int, int, Any]], what: str) -> Any:
    """The last result of (done, in all, result); on a terminal with a bar, the rate and the time left."""
    console = Console(stderr=True)
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    found, parts = None, _begun(parts)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        for done, total, found in parts:  # noqa: B007 - the last one counts
            progress.update(task, completed=done, total=total)
    return found


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

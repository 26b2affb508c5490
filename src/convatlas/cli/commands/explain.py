"""Command `explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from convatlas.base.errors import ConvAtlasError
from convatlas.cli.options import AnyWeights, Csv, Device, Json, Markdown, parse_list
from convatlas.cli.terminal import check_formats, print_table, run_steps, with_progress


def command(
    photo: Annotated[str | None, typer.Argument(help="The photo.", show_default=False)] = None,
    net: Annotated[
        str, typer.Option(help="Name of a net, package.module:callable, or a .pt2 file.")
    ] = "efficientnet_lite0",
    weights: AnyWeights = None,
    probe: Annotated[
        list[str] | None,
        typer.Option("--probe", metavar="NAME,...", help="Probes; docs/probes.md lists them. By default grad_cam."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Class by name or number, probability:CLASS, contrast:CLASS/OTHER; repeat it for further targets. "
            "By default the most probable class."
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...|all", help="Layers with maps, by name or number; all for each; by default the last."
        ),
    ] = None,
    background: Annotated[str, typer.Option(help="black, mean, blur, noise, or another photo.")] = "mean",
    concepts: Annotated[
        list[str] | None,
        typer.Option(
            "--concepts",
            metavar="NAME=FOLDER,...",
            help="Photos of concepts, for probes of concepts: stripes=folder.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="Report (.html), picture (.png, .svg), or the numbers of one map (.npz)."),
    ] = None,
    native: Annotated[
        bool, typer.Option("--native", help="Draw the layer's own cells, without interpolation between them.")
    ] = False,
    opacity: Annotated[float, typer.Option(help="How much the strongest colours hide the photo, 0 to 1.")] = 0.65,
    coverage: Annotated[
        str | None,
        typer.Option(metavar="NET|all", help="Only say which probes can explain a net, or all nets of the atlas."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Engine for probes of scores: auto, onnxruntime, openvino, ...; by default one that was opened before "
            "for these weights, else eager."
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="float32, float64, or bfloat16 (engines only).")] = "float32",
    device: Device = "auto",
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Explain what a net saw in a photo."""
    check_formats(as_json, markdown, csv)
    if coverage is not None:
        _print_coverage(coverage, as_json, markdown, csv)
        return
    if photo is None:
        raise ConvAtlasError("nothing to explain: name a photo, or a net with --coverage")
    from convatlas.probes.explain import explain
    from convatlas.probes.layers import several_layers
    from convatlas.probes.picture import check_opacity
    from convatlas.probes.report import check_path, write
    from convatlas.probes.summary import summary

    check_opacity(opacity)
    names = parse_list(probe) or ["grad_cam"]
    layers: list[str | int] = [*parse_list(layer)]
    place = layers if len(layers) > 1 else layers[0] if layers else None
    if output is not None:
        check_path(output, names, len(target or ["top"]), place)
    steps = explain.steps(
        net,
        photo,
        list(names),
        list(target or ["top"]),
        layer=place,
        background=background,
        concepts=_concepts(concepts),
        weights=weights,
        seed=seed,
        engine=engine,
        precision=precision,
        device=device,
    )
    results: Any = run_steps(steps, "explaining", counted=False)
    groups = [group for each in results for group in each] if several_layers(place) else results
    attributions = [attribution for group in groups for attribution in group]
    if output is not None:
        write(attributions, output, Path(photo).name, opacity, native)
    print_table(summary(attributions), as_json, markdown, csv)
    if output is not None and not (as_json or markdown or csv):
        print(output)


def _print_coverage(net: str, as_json: bool, markdown: bool, csv: bool) -> None:
    from convatlas.probes.coverage import coverage_of, covered, table

    names = coverage_of(net)
    rows = [row for part in with_progress(covered(names), len(names), "recording") for row in part]
    print_table(table(rows), as_json, markdown, csv)


def _concepts(texts: list[str] | None) -> dict[str, list[str]] | None:
    """Read "NAME=FOLDER" for each concept."""
    from convatlas.images.folders import list_photos

    concepts: dict[str, list[str]] = {}
    for text in parse_list(texts):
        name, equals, folder = text.partition("=")
        if not equals or not name or not folder:
            raise ConvAtlasError(f"a concept is NAME=FOLDER, as stripes=photos/stripes; got {text!r:.100}")
        concepts[name] = list(map(str, list_photos([folder])))
    return concepts or None

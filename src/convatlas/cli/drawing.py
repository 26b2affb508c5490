"""The command that draws."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.base.errors import ConvAtlasError
from convatlas.cli.app import app
from convatlas.cli.options import Genes, SizeOption, genes_of, size_of


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
    looks = (field is not None) + (maps is not None) + filters + (pixel is not None)
    if looks > 1:
        raise ConvAtlasError("say one of --field, --maps, --filters and --pixel")
    if looks and (style != "blocks" or expand is not None):
        raise ConvAtlasError("--style and --expand are for pictures of a net alone, without a photo")
    if not looks and (photo is not None or weights is not None):
        raise ConvAtlasError("--photo and --weights go with one of --field, --maps, --filters and --pixel")
    if not looks:
        from convatlas.anatomy.anatomy import measure as measured

        anatomy = measured(net, size=size_of(size), genes=genes_of(gene))
        print(anatomy.draw(style=style, expand=expand).save(output))
        return
    from convatlas.images.samples import sample
    from convatlas.predict.look import look

    looked = look(
        net,
        photo or sample("chelsea"),
        field=field,
        maps=maps,
        filters=filters,
        pixel=pixel,
        weights=weights,
        size=size_of(size),
        genes=genes_of(gene),
    )
    print(looked.save(output))

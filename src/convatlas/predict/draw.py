"""Draw a net, or what happens in it when it sees a photo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from convatlas.anatomy.anatomy import measure
from convatlas.base.errors import ConvAtlasError
from convatlas.images.decoding import Source
from convatlas.images.samples import sample
from convatlas.nets.build import Size
from convatlas.pictures.picture import Picture
from convatlas.predict.look import look


def draw(
    net: str,
    output: str | Path | None = None,
    *,
    style: str = "blocks",
    expand: str | None = None,
    size: Size | None = None,
    genes: Mapping[str, object] | None = None,
    field: str | None = None,
    maps: str | None = None,
    filters: bool = False,
    pixel: str | None = None,
    photo: Source | None = None,
    weights: str | None = None,
) -> Picture:
    """Draw a net, or with one of `field`, `maps`, `filters` and `pixel` what happens in it when it sees a photo.

    Args:
        net: Name of a net, `package.module:callable`, or a .pt2 file.
        output: File to write, .svg or .png; by default none.
        style: "blocks", or "boxes": stacks of maps as LeNet-5 was drawn.
        expand: Stage, or block of a stage, to draw with every layer by itself.
        size: Side of the net's input in pixels, or (height, width); by default as published.
        genes: Genes to change, as in `build`.
        field: "LAYER" or "LAYER,ROW,COLUMN": draw what a unit sees of the photo.
        maps: "LAYER": draw its feature maps.
        filters: Whether to draw the kernels of the first convolution.
        pixel: "LAYER,CHANNEL,ROW,COLUMN": draw how a convolution computes one number of its map.
        photo: A path, bytes, an array or a PIL image; by default a sample photograph.
        weights: Lineage or file, or "none" for random weights; by default the net's first lineage.

    Raises:
        UnknownName: There is no such net, style, stage or layer.
        ConvAtlasError: Arguments that do not go together, or a file that cannot be written.
    """
    looks = (field is not None) + (maps is not None) + filters + (pixel is not None)
    if looks > 1:
        raise ConvAtlasError("say one of field, maps, filters and pixel")
    if looks and (style != "blocks" or expand is not None):
        raise ConvAtlasError("style and expand are for pictures of a net alone, without a photo")
    if not looks and (photo is not None or weights is not None):
        raise ConvAtlasError("photo and weights go with one of field, maps, filters and pixel")
    if looks:
        picture = look(
            net,
            sample("chelsea") if photo is None else photo,
            field=field,
            maps=maps,
            filters=filters,
            pixel=pixel,
            weights=weights,
            size=size,
            genes=genes,
        )
    else:
        picture = measure(net, size=size, genes=genes).draw(style=style, expand=expand)
    if output is not None:
        picture.save(str(output))
    return picture

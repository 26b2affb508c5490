"""Draw a net, or what it computes from a photo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from convatlas.anatomy.anatomy import measure
from convatlas.base.errors import ConvAtlasError
from convatlas.images.decoding import Source
from convatlas.images.samples import sample
from convatlas.nets.build import Size
from convatlas.nets.example_inputs import Shapes
from convatlas.pictures.picture import Picture, check_output
from convatlas.predict.look import look
from convatlas.weights.weights_file import weights_file


def draw(
    net: str,
    output: str | Path | None = None,
    *,
    style: str = "blocks",
    expand: str | None = None,
    slide: bool = False,
    size: Size | None = None,
    genes: Mapping[str, object] | None = None,
    field: str | None = None,
    maps: str | None = None,
    filters: bool = False,
    pixel: str | None = None,
    photo: Source | None = None,
    weights: str | None = None,
    convention: str | None = None,
    inputs: object = None,
    input_shape: Shapes | None = None,
) -> Picture:
    """Draw a net; with one of `field`, `maps`, `filters` and `pixel`, draw what it computes from a photo.

    Args:
        net: Name of a net, `package.module:callable`, or a .pt2 file.
        output: File to write, .svg or .png; None to write none.
        style: "blocks", or "boxes" for stacks of feature maps, as LeNet-5 was drawn.
        expand: Stage, or block of a stage, whose layers are drawn one by one.
        slide: Whether to draw the net to fill a slide of 16:9, with less detail if it is large.
        size: Side of the net's input in pixels, or (height, width); by default as published.
        genes: Genes to change, as in `build`.
        field: "LAYER" or "LAYER,ROW,COLUMN": draw the receptive field of a unit on the photo.
        maps: "LAYER": draw the feature maps of this layer.
        filters: Whether to draw the kernels of the first convolution.
        pixel: "LAYER,CHANNEL,ROW,COLUMN": draw how a convolution computes one value of its output.
        photo: A path, bytes, an array or a PIL image; by default a sample photograph.
        weights: Lineage or file, or "none" for random weights; by default the net's first lineage.
        convention: For a foreign file of weights, the lineage whose conventions it follows, as in `load`.
        inputs: Inputs of your own module, as in `measure`.
        input_shape: Shape of its input, as in `measure`.

    Raises:
        UnknownName: There is no such net, style, stage or layer.
        ConvAtlasError: Arguments contradict each other, or the file cannot be written.
    """
    if output is not None:
        check_output(output)
    looks = (field is not None) + (maps is not None) + filters + (pixel is not None)
    if looks > 1:
        raise ConvAtlasError("choose one of field, maps, filters and pixel")
    if looks and (style != "blocks" or expand is not None or slide):
        raise ConvAtlasError("style, expand and slide cannot be combined with field, maps, filters or pixel")
    if not looks and (photo is not None or weights is not None):
        raise ConvAtlasError("photo and weights need one of field, maps, filters and pixel")
    if looks and (inputs is not None or input_shape is not None):
        raise ConvAtlasError("field, maps, filters and pixel show a photo: they take no inputs and no input_shape")
    if looks:
        picture = look(
            net,
            sample("chelsea") if photo is None else photo,
            field=field,
            maps=maps,
            filters=filters,
            pixel=pixel,
            weights=weights_file(weights, convention),
            size=size,
            genes=genes,
        )
    else:
        picture = measure(net, size=size, genes=genes, inputs=inputs, input_shape=input_shape).draw(
            style=style, expand=expand, slide=slide
        )
    if output is not None:
        picture.save(output)
    return picture

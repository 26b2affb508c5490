"""Draw what a net computes from a photo, as `draw` and the command line do."""

from __future__ import annotations

from collections.abc import Mapping

from convatlas.anatomy.looking.field import draw_field, reach_of_pixel
from convatlas.anatomy.looking.grids import draw_filters, draw_maps
from convatlas.anatomy.looking.pixel import explain_pixel
from convatlas.anatomy.looking.pixel_drawing import draw_pixel
from convatlas.base.errors import ConvAtlasError
from convatlas.images.decoding import Source
from convatlas.nets.build import Size
from convatlas.pictures.picture import Picture
from convatlas.predict.inputs import net_input

MAX_FLOAT64_PARAMETERS = 100_000_000
"""Largest number of parameters with which `pixel` computes in float64; larger nets stay in float32."""


def look(
    net: str,
    photo: Source,
    *,
    field: str | None = None,
    maps: str | None = None,
    filters: bool = False,
    pixel: str | None = None,
    weights: str | None = None,
    size: Size | None = None,
    genes: Mapping[str, object] | None = None,
) -> Picture:
    """Draw what a net computes from a photo, selected by exactly one of `field`, `maps`, `filters` and `pixel`.

    Args:
        net: A net of the atlas, `package.module:callable`, or a .pt2 file.
        photo: A path, bytes, an array or a PIL image.
        field: "LAYER" or "LAYER,ROW,COLUMN": the receptive field of a unit; no weights are fetched for it.
        maps: "LAYER": the feature maps of a layer.
        filters: Whether to draw the kernels of the first convolution.
        pixel: "LAYER,CHANNEL,ROW,COLUMN": how a convolution computes one value of its output.
        weights: A lineage, or "none" for random weights, as in `net_input`.
        size: Height and width of the net's input.
        genes: As in `build`.

    Raises:
        ConvAtlasError: As `net_input` and the pictures do.
    """
    subject = net_input(net, photo, weights=weights, size=size, genes=genes, shape_only=field is not None)
    if field is not None:
        layer, *numbers = _split_position(field, (0, 2), "LAYER or LAYER,ROW,COLUMN")
        row, column = map(int, numbers) if numbers else (None, None)
        return draw_field(subject.net, subject.pixels, subject.x.shape[1], layer, row, column, subject.caption)
    if maps is not None:
        return draw_maps(subject.net, subject.x, maps, subject.caption)
    if pixel is not None:
        layer, *numbers = _split_position(pixel, (3,), "LAYER,CHANNEL,ROW,COLUMN")
        channel, row, column = map(int, numbers)
        module, x = subject.net, subject.x
        if sum(weight.numel() for weight in module.parameters()) <= MAX_FLOAT64_PARAMETERS:
            module, x = module.double(), x.double()
        explained = explain_pixel(module, x, layer, channel, row, column)
        reached = reach_of_pixel(module, tuple(x.shape[1:]), layer, row, column)
        return draw_pixel(explained, subject.caption, subject.pixels, reached)
    if filters:
        return draw_filters(subject.net, subject.x, caption=subject.weights)
    raise ConvAtlasError("choose one of field, maps, filters and pixel")


def _split_position(text: str, counts: tuple[int, ...], form: str) -> list[str]:
    """Split "LAYER,NUMBER,..." at its commas; `counts` are the allowed numbers of numbers."""
    layer, *numbers = text.split(",")
    if len(numbers) not in counts or not all(number.strip().isdecimal() for number in numbers) or not layer:
        raise ConvAtlasError(f"expected {form}, with numbers from 0; got {text!r}")
    return [layer, *numbers]

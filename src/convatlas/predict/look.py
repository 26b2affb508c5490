"""Look inside a net: pictures of what it makes of a photo, as the command line draws them."""

from __future__ import annotations

from collections.abc import Mapping

from convatlas.anatomy.looking.field import draw_field
from convatlas.anatomy.looking.grids import draw_filters, draw_maps
from convatlas.anatomy.looking.pixel import explain_pixel
from convatlas.anatomy.looking.pixel_drawing import draw_pixel
from convatlas.base.errors import ConvAtlasError
from convatlas.images.decoding import Source
from convatlas.nets.build import Size
from convatlas.pictures.picture import Picture
from convatlas.predict.inputs import net_input

WIDE = 100_000_000
"""Parameters up to which `pixel` computes in float64."""


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
    """Draw one picture of a net and a photo; which one, exactly one of `field`, `maps`, `filters` and `pixel` says.

    Args:
        net: A net of the atlas, `package.module:callable`, or a .pt2 file.
        photo: A path, bytes, an array or a PIL image.
        field: "LAYER" or "LAYER,ROW,COLUMN": the receptive field of a unit; no weights are fetched for it.
        maps: "LAYER": the feature maps of a layer.
        filters: Whether to draw the kernels of the first convolution.
        pixel: "LAYER,CHANNEL,ROW,COLUMN": how a convolution computes one number of its map.
        weights: A lineage, or "none" for random weights, as in `net_input`.
        size: Height and width of the net's input.
        genes: As in `build`.

    Raises:
        ConvAtlasError: As `net_input` and the pictures do.
    """
    subject = net_input(net, photo, weights=weights, size=size, genes=genes, shape_only=field is not None)
    if field is not None:
        layer, *places = _places(field, (0, 2), "LAYER or LAYER,ROW,COLUMN")
        row, column = map(int, places) if places else (None, None)
        return draw_field(subject.net, subject.pixels, subject.x.shape[1], layer, row, column, subject.caption)
    if maps is not None:
        return draw_maps(subject.net, subject.x, maps, subject.caption)
    if pixel is not None:
        layer, *places = _places(pixel, (3,), "LAYER,CHANNEL,ROW,COLUMN")
        channel, row, column = map(int, places)
        exact = sum(weight.numel() for weight in subject.net.parameters()) <= WIDE
        chosen, x = (subject.net.double(), subject.x.double()) if exact else (subject.net, subject.x)
        return draw_pixel(explain_pixel(chosen, x, layer, channel, row, column), subject.caption)
    if filters:
        return draw_filters(subject.net, subject.x, caption=subject.weights)
    raise ConvAtlasError("say what to look at: a field, maps, filters or a pixel")


def _places(text: str, counts: tuple[int, ...], form: str) -> list[str]:
    """Split a layer's name from the numbers after it."""
    layer, *places = text.split(",")
    if len(places) not in counts or not all(place.strip().isdecimal() for place in places) or not layer:
        raise ConvAtlasError(f"expected {form}, with numbers from 0; got {text!r}")
    return [layer, *places]

"""Pictures of what goes on in a net that sees a photo, as the command line asks for them."""

from __future__ import annotations

from collections.abc import Mapping

from convatlas.anatomy.looking.field import field as seen_field
from convatlas.anatomy.looking.grids import filters as kernels
from convatlas.anatomy.looking.grids import maps as feature_maps
from convatlas.anatomy.looking.pixel import pixel as apart
from convatlas.anatomy.looking.pixel_drawing import drawn
from convatlas.base.errors import ConvAtlasError
from convatlas.images.decoding import Source
from convatlas.nets.build import Size
from convatlas.pictures.picture import Picture
from convatlas.predict.inputs import seen

WIDE = 100_000_000
"""Parameters up to which a number is taken apart in float64."""


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
    """One picture of a net and a photo; `field`, `maps`, `filters` and `pixel` say which, one of them.

    Args:
        net: A net of the atlas, `package.module:callable`, or a .pt2 file.
        photo: A path, bytes, an array or a PIL image.
        field: "LAYER" or "LAYER,ROW,COLUMN": what a unit sees of the photo, for which no weights are fetched.
        maps: "LAYER": its feature maps.
        filters: The kernels of the first convolution.
        pixel: "LAYER,CHANNEL,ROW,COLUMN": how a convolution makes one number of its map.
        weights: A lineage, or "none" for random ones, as in `seen`.
        size: Of the net's input.
        genes: As in `build`.

    Raises:
        ConvAtlasError: As `seen` and the pictures do.
    """
    there = seen(net, photo, weights=weights, size=size, genes=genes, shape_alone=field is not None)
    if field is not None:
        layer, *places = _places(field, (0, 2), "LAYER or LAYER,ROW,COLUMN")
        row, column = map(int, places) if places else (None, None)
        return seen_field(there.net, there.pixels, there.x.shape[1], layer, row, column, there.told)
    if maps is not None:
        return feature_maps(there.net, there.x, maps, there.told)
    if pixel is not None:
        layer, *places = _places(pixel, (3,), "LAYER,CHANNEL,ROW,COLUMN")
        channel, row, column = map(int, places)
        exact = sum(weight.numel() for weight in there.net.parameters()) <= WIDE
        chosen, x = (there.net.double(), there.x.double()) if exact else (there.net, there.x)
        return drawn(apart(chosen, x, layer, channel, row, column), there.told)
    if filters:
        return kernels(there.net, there.x, told=there.weights)
    raise ConvAtlasError("say what to look at: a field, maps, filters or a pixel")


def _places(text: str, counts: tuple[int, ...], form: str) -> list[str]:
    """A layer's name and the numbers behind it."""
    layer, *places = text.split(",")
    if len(places) not in counts or not all(place.strip().isdecimal() for place in places) or not layer:
        raise ConvAtlasError(f"it is {form}, with numbers from 0; got {text!r}")
    return [layer, *places]

"""Draw a measured net."""

from __future__ import annotations

from dataclasses import replace

from convatlas.anatomy.drawing.maps.stacks import draw_stacks
from convatlas.anatomy.drawing.maps.stations import stations
from convatlas.anatomy.drawing.page.cards import plan_cards
from convatlas.anatomy.drawing.page.page import draw_page
from convatlas.anatomy.drawing.page.slide import ASPECT, draw_slide
from convatlas.anatomy.drawing.sketch.sketcher import Sketcher
from convatlas.anatomy.measure.records import Measurement
from convatlas.anatomy.structure.condense import Keep, condensed, keep_none
from convatlas.anatomy.structure.dna import dna
from convatlas.anatomy.structure.stages import stages
from convatlas.anatomy.structure.tokens import Words
from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.pictures.picture import Picture
from convatlas.pictures.shapes import PAPER, Box, moved

STYLES = ("blocks", "boxes")


def draw(anatomy: Measurement, style: str = "blocks", expand: str | None = None, slide: bool = False) -> Picture:
    """Draw a net.

    Args:
        anatomy: The measured net.
        style: "blocks", or "boxes" for stacks of feature maps, as LeNet-5 was drawn.
        expand: Stage, or block of a stage, whose layers are drawn one by one.
        slide: Whether to draw the net to fill a slide of 16:9, with less detail if it is large.

    Raises:
        UnknownName: There is no such style, stage or block.
        ConvAtlasError: `expand` with the style "boxes".
    """
    if style not in STYLES:
        raise unknown("style", style, STYLES)
    if style == "boxes":
        if expand is not None:
            raise ConvAtlasError("expand goes with the style blocks; the style boxes shows no single layers")
        description = "The maps and vectors of a net, one after the other: "
        description += ", ".join(f"{station.name} {station.size}" for station in stations(anatomy))
        picture = draw_stacks(anatomy, anatomy.name, description + ".")
        return _centred(picture) if slide else picture
    description = f"The stages of {anatomy.name}, each a row of layers. " + ". ".join(dna(anatomy).lines()) + "."
    keep = keep_none if expand is None else _inside(anatomy, expand)
    net = condensed(anatomy, keep)
    words, net_stages = Words(net), stages(net, keep)
    opened = {at for at, stage in enumerate(net_stages) if any(keep(layer) for layer in stage.layers)}
    sketchers = [Sketcher(words, keep if at in opened else keep_none) for at in range(len(net_stages))]
    plans = plan_cards(net_stages, words, sketchers, opened)
    return (draw_slide if slide else draw_page)(net, plans, anatomy.name, description)


def _centred(picture: Picture) -> Picture:
    """Return a picture in the middle of a slide."""
    width, height = max(picture.width, picture.height * ASPECT), max(picture.height, picture.width / ASPECT)
    shift = (width - picture.width) / 2, (height - picture.height) / 2
    shapes = (Box(0, 0, width, height, PAPER), *(moved(shape, *shift) for shape in picture.shapes))
    return replace(picture, width=width, height=height, shapes=shapes)


def _inside(anatomy: Measurement, expand: str) -> Keep:
    """Return the function that tells whether a layer belongs to a stage or block.

    Raises:
        UnknownName: There is no such stage or block.
    """
    named = next((stage for stage in stages(anatomy) if stage.name == expand), None)
    # A stage of single layers has a name of its own: that of the first and the last.
    own = {layer.number for layer in named.layers} if named else set()
    inside = {
        layer.number
        for layer in anatomy.layers
        if layer.number in own or layer.name == expand or layer.name.startswith(f"{expand}.")
    }
    if not inside or (named is None and not any(layer.name.startswith(f"{expand}.") for layer in anatomy.layers)):
        names = [stage.name for stage in stages(anatomy)]
        raise unknown("stage or block", expand, _expandable(names, {layer.name for layer in anatomy.layers}))
    return lambda layer: layer.number in inside


def _expandable(names: list[str], layers: set[str]) -> list[str]:
    return sorted({*names, *(name.rsplit(".", 1)[0] for name in layers if "." in name)})

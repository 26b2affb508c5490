"""Draw a measured net."""

from __future__ import annotations

from collections.abc import Callable

from convatlas.anatomy.drawing.maps.maps import draw_maps
from convatlas.anatomy.drawing.maps.stations import stations
from convatlas.anatomy.drawing.page.cards import plan_cards
from convatlas.anatomy.drawing.page.page import draw_page
from convatlas.anatomy.drawing.sketch.sketcher import Sketcher
from convatlas.anatomy.measure.records import Layer, Measurement
from convatlas.anatomy.structure.dna import dna
from convatlas.anatomy.structure.stages import stages
from convatlas.anatomy.structure.tokens import Words
from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.pictures.picture import Picture

STYLES = ("blocks", "boxes")


def draw(anatomy: Measurement, style: str = "blocks", expand: str | None = None) -> Picture:
    """Draw a net.

    Args:
        anatomy: The measured net.
        style: "blocks", its stages with their blocks; "boxes", its maps and vectors as LeNet-5 was drawn.
        expand: A stage, or a block in one, to be drawn with every layer by itself.

    Raises:
        UnknownName: There is no such style, stage or block.
        ConvAtlasError: A stage is to be expanded in the style of boxes.
    """
    if style not in STYLES:
        raise unknown("style", style, STYLES)
    words, net_stages = Words(anatomy), stages(anatomy)
    if style == "boxes":
        if expand is not None:
            raise ConvAtlasError("a stage is expanded in the style of blocks; the style of boxes shows maps alone")
        description = "The maps and vectors of a net, one after the other: "
        description += ", ".join(f"{station.name} {station.size}" for station in stations(anatomy))
        return draw_maps(anatomy, anatomy.name, description + ".")
    description = f"The stages of {anatomy.name}, each a row of layers. " + ". ".join(dna(anatomy).lines()) + "."
    opened = None
    if expand is not None:
        whole = stages(anatomy, everything=True)
        names = [stage.name for stage in net_stages]
        opened = next((at for at, name in enumerate(names) if name == expand or expand.startswith(f"{name}.")), None)
        known = {layer.name for layer in anatomy.layers}
        if opened is None or not (expand in names or any(name.startswith(f"{expand}.") for name in known)):
            raise unknown("stage or block", expand, _openable(names, known))
        net_stages[opened] = next(stage for stage in whole if stage.name == names[opened])
    usual = Sketcher(words)
    sketchers = [
        Sketcher(words, _inside(expand)) if expand and at == opened else usual for at in range(len(net_stages))
    ]
    return draw_page(anatomy, plan_cards(net_stages, words, sketchers, opened), anatomy.name, description)


def _inside(expand: str) -> Callable[[Layer], bool]:
    return lambda layer: layer.name == expand or layer.name.startswith(f"{expand}.")


def _openable(names: list[str], layers: set[str]) -> list[str]:
    return sorted({*names, *(name.rsplit(".", 1)[0] for name in layers if "." in name)})

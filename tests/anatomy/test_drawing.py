"""Pictures of nets: whole, readable, the same every time, and true to the net."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from fontTools.ttLib import TTFont
from tests.anatomy.once import measured
from tests.anatomy.pictures import check_blocks, check_words, units
from tests.nets.nets import SMALL
from torch import nn

import convatlas as ca
from convatlas.anatomy.anatomy import Anatomy
from convatlas.anatomy.drawing.family_tree import family_tree
from convatlas.anatomy.drawing.maps.stations import stations
from convatlas.anatomy.structure.stages import folded_borders, wires_of
from convatlas.base.errors import ConvAtlasError, UnknownName
from convatlas.catalogue.cards import cards
from convatlas.catalogue.descent import descent
from convatlas.pictures.palette import COLOURS, MEANINGS
from convatlas.pictures.picture import Picture
from convatlas.pictures.raster import FONTS
from convatlas.pictures.shapes import GREY, INK, PAPER, Box, Disc, Group, Line, Text, flat
from convatlas.pictures.text import WIDTHS, WIDTHS_BOLD, shortened, text_width, wrapped

FOREIGN = (
    "torchvision:googlenet",
    "torchvision:densenet121",
    "torchvision:swin_t",
    "torchvision:shufflenet_v2_x0_5",
    "timm:hrnet_w18_small",
    "timm:dla34",
    "timm:seresnet50",
)


def foreign(name: str) -> Anatomy:
    maker, _, net = name.partition(":")
    with torch.device("meta"):
        if maker == "timm":
            return ca.measure(timm.create_model(net), size=224)
        return ca.measure(f"torchvision.models:{net}", size=224)


def texts(picture: Picture) -> list[str]:
    return [shape.text for shape in flat(picture.shapes) if isinstance(shape, Text)]


def check(anatomy: Anatomy) -> None:
    picture = anatomy.draw()
    check_words(picture)
    check_blocks(picture)
    assert picture.width <= 2600
    check_words(anatomy.draw(style="boxes"))
    assert picture.svg() == anatomy.draw().svg()


@pytest.mark.parametrize("name", list(SMALL))
def test_nets_of_every_family(name: str) -> None:
    check(measured(name))


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_nets(name: str) -> None:
    check(foreign(name))


@pytest.mark.sweep
@pytest.mark.parametrize("name", list(cards()))
def test_every_net(name: str) -> None:
    check(measured(name))


def shown(picture: Picture) -> set[int]:
    return {number for shape in picture.shapes if isinstance(shape, Group) for number in shape.layers}


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "nasnet_large"])
def test_a_layer_is_drawn_or_stands_for_one(name: str) -> None:
    """What is not drawn belongs to blocks that come again; opened one by one, every stage shows each of its layers."""
    anatomy = measured(name)
    drawn = shown(anatomy.draw())
    assert drawn <= set(wires_of(anatomy))
    kinds = {(layer.kind, layer.kernel) for layer in anatomy.layers if layer.number not in folded_borders(anatomy)}
    assert {(anatomy.layers[number - 1].kind, anatomy.layers[number - 1].kernel) for number in drawn} == kinds


@pytest.mark.parametrize(
    ("name", "stage"), [("resnet50", "conv3"), ("efficientnet_b0", "stage2"), ("nasnet_mobile", "stem1")]
)
def test_an_opened_stage_shows_every_layer_by_itself(name: str, stage: str) -> None:
    anatomy = measured(name)
    picture = anatomy.draw(expand=stage)
    check_words(picture)
    check_blocks(picture)
    groups = [shape for shape in picture.shapes if isinstance(shape, Group) and shape.layers]
    alone = {group.layers[0] for group in groups if len(group.layers) == 1}
    assert {layer.number for layer in anatomy.layers if layer.name.startswith(f"{stage}.")} <= alone


def test_an_opened_block_leaves_the_others() -> None:
    anatomy = measured("resnet50")
    whole, one = anatomy.draw(expand="conv4"), anatomy.draw(expand="conv4.block2")
    assert texts(one).count("BN") < texts(whole).count("BN")
    assert "×4" in texts(one)
    assert "×4" not in texts(whole)
    with pytest.raises(UnknownName, match=r"conv4\.block6"):
        anatomy.draw(expand="conv4.block7")


def test_what_the_picture_of_resnet50_says() -> None:
    picture = measured("resnet50").draw()
    said = texts(picture)
    assert said[:2] != said[2:4]
    for text in (
        "resnet50",
        "conv2",
        "7×7 conv /2",
        "3×3 max pool /2",
        "×5",
        "block2 – block6",
        "56×56×256",
        "BN",
        "ReLU",
    ):
        assert text in said, text
    assert "25.6M parameters" in " ".join(said)
    assert said.count("+") == 8  # four stages: a projected block, and one for those that repeat
    assert picture.description.count("conv4") == 1
    assert "[(. + c1-64b bn relu c3-64b bn relu c1-256b bn) relu]x2" in picture.description


def test_nasnet_stays_readable() -> None:
    """1,257 layers in fewer than 200 boxes, at most 1,600 pixels wide."""
    anatomy = measured("nasnet_large")
    picture = anatomy.draw()
    groups = [shape for shape in picture.shapes if isinstance(shape, Group) and shape.layers]
    assert len(anatomy.layers) > 1200
    assert len(groups) < 200
    assert picture.width < 1600
    assert "as stage1_cell1" in texts(picture)


def test_skips_are_seen() -> None:
    """Each sum has a line that leaves before the block and arrives from above it."""
    picture = measured("resnet18").draw()
    lines = [shape for shape in flat(picture.shapes) if isinstance(shape, Line)]
    skips = [line for line in lines if len(line.points) == 3 and line.arrow and line.points[-1][1] > line.points[0][1]]
    assert len(skips) == texts(picture).count("+")


def test_lenet5_as_it_was_drawn() -> None:
    picture = measured("lenet5").draw(style="boxes")
    said = texts(picture)
    for text in ("1@32×32", "6@28×28", "6@14×14", "16@10×10", "16@5×5", "120@1×1", "84", "10"):
        assert text in said, text
    assert len(picture.shapes) > 20


SLIDES = ("lenet5", "vgg16", "resnet50", "inception_v1", "densenet121", "yolo_v3", "nasnet_mobile", "capsnet", "elman")


@pytest.mark.parametrize("name", SLIDES)
def test_a_slide_of_any_net(name: str) -> None:
    """16:9, and letters of 11 pixels no smaller than 1/85 of its height."""
    picture = measured(name).draw(slide=True)
    check_words(picture)
    check_blocks(picture)
    assert picture.width / picture.height == pytest.approx(16 / 9)
    assert picture.height < 11 * 85
    boxes = measured(name).draw(style="boxes", slide=True)
    check_words(boxes)
    assert boxes.width / boxes.height == pytest.approx(16 / 9)


@pytest.mark.parametrize("slide", [False, True])
@pytest.mark.parametrize("name", SLIDES)
def test_the_legend_shows_the_colours_that_are_drawn(name: str, slide: bool) -> None:
    """A slide draws a whole stage of NASNet as one box, without the boxes of its poolings."""
    picture = measured(name).draw(slide=slide)
    swatches = [shape for shape in picture.shapes if isinstance(shape, Box) and (shape.width, shape.height) == (13, 11)]
    others = [shape for shape in flat(picture.shapes) if shape not in swatches]
    drawn = {shape.fill for shape in others if isinstance(shape, Box | Disc)} & set(COLOURS.values())
    assert {swatch.fill for swatch in swatches} == drawn


def test_a_slide_shows_one_module_of_inception() -> None:
    """The first is drawn, the others are as it is; all of them stand for layers of their own."""
    picture = measured("inception_v1").draw(slide=True)
    said = texts(picture)
    assert said.count("as inception3a") == 8
    assert said.count("concat") == 1
    assert shown(picture) == shown(measured("inception_v1").draw())


def test_a_slide_tells_what_a_stage_reads() -> None:
    said = texts(measured("yolo_v3").draw(slide=True))
    assert {"stage4", "stage5", "lateral2", "boxes1", "as stage2.block1"} <= set(said)
    assert said.count("neck2") == 2  # its card, and its mark in lateral3


def test_vgg_labels_the_maps_of_each_block() -> None:
    """Blocks on maps of other sizes are not one block that repeats: their sizes are written once."""
    said = texts(measured("vgg16").draw())
    assert {"block4", "block5", "14×14×512", "28×28×512"} <= set(said)
    assert not [text for text in said if text.endswith(" ×2")]


def test_alexnets_two_towers() -> None:
    said = texts(measured("alexnet").draw(style="boxes"))
    assert [text for text in said if text.startswith("2 × ")] == [
        "2 × 48@55×55",
        "2 × 48@27×27",
        "2 × 128@27×27",
        "2 × 128@13×13",
        "2 × 192@13×13",
        "2 × 192@13×13",
        "2 × 128@13×13",
        "2 × 128@6×6",
    ]


def test_alexnets_towers_cross_where_the_paper_lets_them() -> None:
    """Each tower of the third convolution reads both of those before; of the others each reads its own."""
    crossing = [(one.name, one.crosses) for one in stations(measured("alexnet")) if one.groups == 2]
    assert [name for name, crosses in crossing if crosses] == ["block3"]
    windows = [shape for shape in flat(measured("alexnet").draw(style="boxes").shapes) if isinstance(shape, Line)]
    # Two lines a window and unit: one photo to two towers, six steps of two, one step of four; then outlines.
    assert sum(line.stroke == INK for line in windows) == 2 * (2 + 6 * 2 + 4)


def test_windows_of_whole_stages() -> None:
    """One unit behind two 3 x 3 convolutions and a pooling sees 6 x 6 of the maps before."""
    found = [one.window for one in stations(measured("vgg16"))]
    assert found == [None, (6, 6), (6, 6), (8, 8), (8, 8), (8, 8), None]
    assert [one.window for one in stations(measured("resnet18"))][1] == (11, 11)


def test_units_lie_on_the_windows() -> None:
    shapes = [shape for shape in measured("neocognitron").draw(style="boxes").shapes if isinstance(shape, Box)]
    fills = [shape.fill for shape in shapes if shape.fill == INK or (shape.fill, shape.stroke) == (PAPER, INK)]
    assert fills == [PAPER] * 5 + [INK] * 5


def test_capsules_are_no_maps() -> None:
    picture = measured("capsnet").draw()
    said = texts(picture)
    assert {"1152×8", "1152×10×16", "10 capsules of 16", "routing", "3 steps"} < set(said)
    assert "other" not in said
    told = " ".join(said)
    assert "Of capsules: capsules × numbers; children × parents × numbers." in told
    assert "Not used by the output, and not drawn: reconstruction (1.41M parameters)." in told
    assert "1152×10×16" in texts(measured("capsnet").draw(style="boxes"))
    check_words(measured("matrix_capsnet").draw())
    assert "32 capsules of 16" in texts(measured("matrix_capsnet").draw())


ARROWS = [(a, b) for a in ("output", "hidden2", "hidden1", "input") for b in ("input", "hidden1", "hidden2", "output")]


@pytest.mark.parametrize("feedback", ["elman", "chain", "all"])
def test_feedback_is_drawn(feedback: str) -> None:
    """A box a layer, and for each arrow a line that leaves the top of one and arrives at the top of the other."""
    order = ["input", "hidden1", "hidden2", "output"]
    back = [(source, target) for source, target in ARROWS if order.index(source) >= order.index(target)]
    anatomy = ca.measure("feedback_chain", genes={"feedback": back if feedback == "all" else feedback})
    picture = anatomy.draw()
    check_words(picture)
    check_blocks(picture)
    check_words(anatomy.draw(style="boxes"))
    said = texts(picture)
    assert set(order) | {"784", "300", "100", "10", "scaled tanh", "4 steps", "recurrence", "feedback"} < set(said)
    boxes = {
        shape.shapes[1].text: shape.shapes[0]
        for shape in picture.shapes
        if isinstance(shape, Group) and isinstance(shape.shapes[1], Text) and isinstance(shape.shapes[0], Box)
    }
    ends = []
    for line in (shape for shape in picture.shapes if isinstance(shape, Line) and len(shape.points) == 4):
        (x1, y1), (_, level), _, (x2, y2) = line.points
        found = [
            next((name for name, box in boxes.items() if box.x < x < box.x + box.width and abs(box.y - y) < 0.1), "")
            for x, y in ((x1, y1), (x2, y2))
        ]
        if all(found) and level < min(y1, y2):
            ends.append(tuple(found))
    wanted = {
        "elman": [(one, one) for one in order[1:3]],
        "chain": list(zip(order[1:], order, strict=False)),
        "all": back,
    }
    assert sorted(ends) == sorted(wanted[feedback])


def test_what_comes_from_elsewhere_tells_its_shape() -> None:
    assert "19×19×256" in texts(measured("yolo_v2").draw())
    assert "28×28×88" in texts(measured("nasnet_mobile").draw())
    # What is joined stands in the order in which it is joined.
    marks = {
        shape.text: shape.y
        for shape in measured("yolo_v2").draw().shapes
        if isinstance(shape, Text) and shape.size == 9
    }
    assert marks["passthrough"] < marks["neck"]


def test_a_shape_behind_a_repeated_block_has_room() -> None:
    check_blocks(measured("yolo_v3").draw())


def test_nets_side_by_side_are_drawn_alike() -> None:
    """The three of the boosted net, each on one line, though two of them begin with a mark."""
    groups = [group for _, group in units(measured("boosted_lenet4").draw())]
    levels = [next(box.y + box.height / 2 for box in flat([group]) if isinstance(box, Box)) for group in groups]
    said = [" ".join(text.text for text in flat([group]) if isinstance(text, Text)) for group in groups]
    pooled = [level for level, text in zip(levels, said, strict=True) if text.startswith("2×2 subsample")]
    dense = [level for level, text in zip(levels, said, strict=True) if text.startswith("dense")]
    assert len(set(pooled)) == len(dense) == 3
    assert all(abs(one - other) < 20 for one, other in zip(sorted(set(pooled)), dense, strict=True))
    assert "5×5 linked conv 120 · 560 links scaled tanh" in said


class Loop(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_odd_nets() -> None:
    """One layer; nothing but functions; several answers; names that XML would misread."""
    check(ca.measure(nn.Conv2d(3, 4, 3), size=8))
    check(ca.measure(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), size=2, channels=3))
    odd = nn.Module()
    odd.add_module("<&>", nn.Conv2d(3, 4, 3))
    odd.forward = lambda x: [odd.get_submodule("<&>")(x).relu(), x * 2, x.flatten(1)]  # type: ignore[assignment]
    check(ca.measure(odd, size=8))


def test_the_same_in_another_process() -> None:
    """The picture, with the net's DNA in its description."""
    code = "import convatlas as ca, sys; sys.stdout.buffer.write(ca.measure('densenet121').draw().svg().encode())"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": "11"}, capture_output=True)
    assert done.stdout.decode() == measured("densenet121").draw().svg()


def test_png(tmp_path: Path) -> None:
    picture = measured("lenet5").draw()
    data = picture.png(1.5)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert abs(width - 1.5 * picture.width) <= 1
    assert abs(height - 1.5 * picture.height) <= 1
    assert data == picture.png(1.5)
    assert len(data) > 5000
    picture.save(tmp_path / "x.png")
    picture.save(tmp_path / "x.svg")
    assert (tmp_path / "x.svg").read_text(encoding="utf-8") == picture.svg() == picture._repr_svg_()
    with pytest.raises(ConvAtlasError, match=r"\.svg or \.png"):
        picture.save(tmp_path / "x.gif")
    with pytest.raises(ConvAtlasError, match="there is no folder"):
        picture.save(tmp_path / "nowhere" / "x.svg")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ConvAtlasError, match="write an SVG"):
        picture.png(1000)


def test_text_is_in_the_png() -> None:
    """Without its font there would be none."""
    words = Picture(80, 30, (Box(0, 0, 80, 30, "#ffffff"), Text(5, 20, "MMMM", 14)), "t")
    blank = Picture(80, 30, (Box(0, 0, 80, 30, "#ffffff"),), "t")
    assert len(words.png()) > 2 * len(blank.png())


def test_wrong_wishes() -> None:
    with pytest.raises(UnknownName, match="boxes"):
        measured("lenet5").draw(style="cubes")
    with pytest.raises(UnknownName, match="conv5 or conv4"):
        measured("resnet50").draw(expand="conv9")
    with pytest.raises(ConvAtlasError, match="expand goes with the style blocks"):
        measured("resnet50").draw(style="boxes", expand="conv2")


@pytest.mark.parametrize(("file", "widths"), [("DejaVuSans.ttf", WIDTHS), ("DejaVuSans-Bold.ttf", WIDTHS_BOLD)])
def test_widths_are_those_of_the_font(file: str, widths: dict[str, int]) -> None:
    font = TTFont(next(path for path in FONTS if path.name == file))
    names, advances, em = font.getBestCmap(), font["hmtx"], font["head"].unitsPerEm
    assert {sign: round(advances[names[ord(sign)]][0] * 1000 / em) for sign in widths} == widths


def test_text_is_cut_and_broken_to_measure() -> None:
    assert shortened("short", 100, 10) == "short"
    cut = shortened("a name that is much too long for its place", 100, 10)
    assert cut.endswith("…")
    assert text_width(cut, 10) <= 100
    lines = wrapped("words that are broken into lines of no more than so many pixels", 100, 10)
    assert len(lines) > 2
    assert all(text_width(line, 10) <= 100 for line in lines)


def contrast(first: str, second: str) -> float:
    """As WCAG 2.1 defines it."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_on_every_colour() -> None:
    assert all(contrast(INK, colour) >= 7 for colour in COLOURS.values())
    assert contrast(GREY, PAPER) >= 4.5
    assert set(COLOURS) == set(MEANINGS)


def test_the_family_tree() -> None:
    picture = family_tree()
    check_words(picture)
    assert picture.svg() == family_tree().svg()
    said = " ".join(texts(picture))
    for name in ("ResNet", "VGG16", "ConvNeXt", "LeNet-5", "2022", "1989"):
        assert name in said
    for era in ("1985 to 1999: back-propagation", "from 2018: search and scale"):
        assert era in said


def test_no_line_of_the_family_tree_passes_behind_a_net() -> None:
    """Each leaves a box from below and ends at the left of another, at the net that builds on the first."""
    picture = family_tree()
    nets = [shape for shape in picture.shapes if isinstance(shape, Group)]
    boxes = [next(box for box in net.shapes if isinstance(box, Box)) for net in nets]
    lines = [shape for shape in picture.shapes if isinstance(shape, Line) and shape.arrow]
    parents = {line.nets[0]: line.parents[0] for line in descent() if line.parents}
    assert len(lines) == len(parents)
    for line in lines:
        (x, top), (_, bottom), (left, _) = line.points
        start = next(at for at, box in enumerate(boxes) if box.y + box.height == top and box.x < x < box.x + box.width)
        end = next(at for at, box in enumerate(boxes) if box.x == left and box.y < bottom < box.y + box.height)
        first, last = (nets[at].title.split(" (")[0].split(", ")[0] for at in (start, end))
        assert parents[last] == first
        behind = [box for box in boxes if box.x <= x <= box.x + box.width and top < box.y < bottom]
        assert not behind, (first, last)

"""Looking through a net: fields against what NaN reaches, sums against what the layer gives."""

from __future__ import annotations

import io
import random
from bisect import bisect_left

import numpy as np
import PIL.Image
import pytest
import timm
import torch
import torch.nn.functional as F
from tests.anatomy.pictures import check_words
from torch import Tensor, nn

import convatlas as ca
from convatlas.anatomy.looking.field import draw_field, reach_of, reach_of_pixel
from convatlas.anatomy.looking.grids import draw_filters, draw_maps
from convatlas.anatomy.looking.pixel import explain_pixel
from convatlas.anatomy.looking.pixel_drawing import draw_pixel
from convatlas.base.errors import ConvAtlasError, UnknownName
from convatlas.pictures.pixels import diverging, shaded
from convatlas.pictures.shapes import Box, Disc, Image, Text, flat

Spans = tuple[tuple[int, int], tuple[int, int]]


def reached(net: nn.Module, module: nn.Module, shape: tuple[int, int, int], row: int, column: int) -> Spans:
    """Rows and columns of the input from which NaN reaches a unit of a module's output.

    In float64 each output of a convolution is a sum over its own window alone (PyTorch's other ways to compute one mix
    neighbours), and NaN goes through every operation.
    """
    kept: list[Tensor] = []
    handle = module.register_forward_hook(lambda module, given, output: kept.append(output))
    net = net.double().eval()

    def touched(first: tuple[int, int], last: tuple[int, int]) -> bool:
        x = torch.zeros(1, *shape, dtype=torch.float64)
        x[:, :, first[0] : last[0], first[1] : last[1]] = torch.nan
        kept.clear()
        with torch.no_grad():
            net(x)
        return bool(kept[0][0, :, row, column].isnan().any())

    height, width = shape[1:]
    # The more rows are NaN, the more units are: the first and the last that count are found by halving.
    top = bisect_left(range(height), True, key=lambda at: touched((0, 0), (at + 1, width)))
    bottom = bisect_left(range(height), True, key=lambda at: not touched((at + 1, 0), (height, width)))
    left = bisect_left(range(width), True, key=lambda at: touched((0, 0), (height, at + 1)))
    right = bisect_left(range(width), True, key=lambda at: not touched((0, at + 1), (height, width)))
    handle.remove()
    return (top, bottom), (left, right)


class Random(nn.Module):
    """Windows of random kernels, strides, dilations and borders; two ways at times, pools, enlargements."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.parts = nn.ModuleList()
        for _ in range(draw.randint(2, 5)):
            self.parts.append(self._part(draw))
        self.last = nn.Identity()

    @staticmethod
    def _part(draw: random.Random) -> nn.Module:
        kernel = draw.choice([1, 2, 3]), draw.choice([1, 3, 4])
        stride, border = draw.choice([1, 1, 2]), draw.choice([0, 0, 1])
        kind = draw.choice(["conv", "conv", "max", "average", "pad", "up", "smooth", "transposed", "two"])
        if kind == "conv":
            mode = draw.choice(["zeros", "replicate"])
            return nn.Conv2d(2, 2, kernel, stride, border, draw.choice([1, 2]), padding_mode=mode)
        if kind == "max":
            return nn.MaxPool2d(3, stride, border)
        if kind == "average":
            return nn.AvgPool2d(3, stride, border)
        if kind == "pad":
            return nn.ZeroPad2d(tuple(draw.choice([0, 1, 2]) for _ in range(4)))
        if kind == "up":
            return nn.Upsample(scale_factor=2)
        if kind == "smooth":
            return nn.Upsample(scale_factor=2, mode="bilinear")
        if kind == "transposed":
            return nn.ConvTranspose2d(2, 2, draw.choice([2, 3, 4]), 2, draw.choice([0, 1]))
        return Two(draw)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return self.last(x)


class Two(nn.Module):
    def __init__(self, draw: random.Random) -> None:
        super().__init__()
        self.left = nn.Conv2d(2, 2, (1, 3), padding=(0, 1))
        self.right = nn.Conv2d(2, 2, draw.choice([1, 3, 5]), padding="same")

    def forward(self, x: Tensor) -> Tensor:
        return self.left(x) + self.right(x) * 2


@pytest.mark.parametrize("seed", range(40))
def test_a_field_is_what_nan_reaches(seed: int) -> None:
    net, draw = Random(seed), random.Random(seed)
    shape = (2, 17, 20)
    with torch.no_grad():
        out = net.eval()(torch.zeros(1, *shape))
    row, column = draw.randrange(out.shape[2]), draw.randrange(out.shape[3])
    layer = f"parts.{len(net.parts) - 1}"
    found, _, place, _ = reach_of(net, shape, layer, row, column)
    assert place == (row, column)
    rows, columns = reached(net, net.last, shape, row, column)
    if any(isinstance(part, nn.Upsample) and part.mode == "bilinear" for part in net.parts):
        # A mixed pixel may fall on one of its neighbours alone: the arithmetic never sees too little.
        assert found.rows[0] <= rows[0] <= rows[1] <= found.rows[1]
        assert found.columns[0] <= columns[0] <= columns[1] <= found.columns[1]
    else:
        assert (found.rows, found.columns) == (rows, columns)
    assert not found.whole


@pytest.mark.parametrize(
    ("name", "layer", "size", "row", "column"),
    [
        ("mobilenet_v2", "stage3.block1", 48, 2, 1),
        ("resnet18", "conv3.block1", 48, 1, 3),
        ("inception_v3", "mixed0", 75, 3, 2),
        ("nasnet_mobile", "stem1", 32, 3, 0),
        ("yolo_v3_tiny", "stage5", 64, 1, 1),
        ("lenet5", "s4", 32, 2, 2),
    ],
)
def test_fields_of_nets(name: str, layer: str, size: int, row: int, column: int) -> None:
    """Borders of pools that do not count, cells of two ways, whatever the net does."""
    net = ca.build(name, size=size)
    shape = (net.channels, size, size)
    found, path, _, _ = reach_of(net, shape, layer, row, column)
    spans = reached(net, net.get_submodule(path), shape, row, column)
    assert (found.rows, found.columns) == spans


def test_a_gate_sees_the_whole_photo_beside() -> None:
    found, _, _, shape = reach_of(ca.build("efficientnet_b0", size=64), (3, 64, 64), "stage1", 5, 5)
    assert found.whole
    assert (found.rows, found.columns) == ((8, 14), (8, 14))
    assert shape == (16, 32, 32)
    assert not reach_of(ca.build("efficientnet_lite0", size=64), (3, 64, 64), "stage1", 5, 5)[0].whole


def test_the_field_over_a_photo() -> None:
    net = ca.build("mobilenet", size=64)
    photo = np.zeros((64, 64, 3), np.uint8)
    picture = draw_field(net, photo, 3, "block2", caption="Weights: none.")
    check_words(picture)
    said = " ".join(shape.text for shape in flat(picture.shapes) if isinstance(shape, Text))
    # 16 x 16 maps: the middle one is 8, 8.
    assert "Unit 8,8 of 128 maps of 16×16 sees 11×11 pixels: rows 30 to 40 of 64" in said
    assert "Weights: none." in said
    (image,) = (shape for shape in flat(picture.shapes) if isinstance(shape, Image))
    mark = next(shape for shape in flat(picture.shapes) if isinstance(shape, Box) and shape.stroke == "#e8590c")
    scale = image.width / 64
    assert (mark.x - image.x, mark.width) == pytest.approx((30 * scale, 11 * scale))
    (middle,) = (shape for shape in flat(picture.shapes) if isinstance(shape, Disc))
    assert (middle.x - image.x) == pytest.approx(35.5 * scale)
    # At the corner the field is cut, and its middle is nobody's.
    assert not [shape for shape in flat(draw_field(net, photo, 3, "block2", 0, 8).shapes) if isinstance(shape, Disc)]
    with pytest.raises(UnknownName, match="did you mean block9"):
        draw_field(net, photo, 3, "block99")
    with pytest.raises(ConvAtlasError, match="rows 0 to 15"):
        draw_field(net, photo, 3, "block2", 16, 0)
    with pytest.raises(ConvAtlasError, match="outputs maps"):
        draw_field(net, photo, 3, "head")


def test_a_grey_photo_stays_grey() -> None:
    """Under the shade outside of the field, too."""
    net = ca.build("lenet5")
    photo = np.repeat(np.arange(32, dtype=np.uint8)[:, None, None] * 8, 32, 1).repeat(3, 2)
    picture = draw_field(net, photo, 1, "c3")
    (image,) = (shape for shape in flat(picture.shapes) if isinstance(shape, Image))
    pixels = np.asarray(PIL.Image.open(io.BytesIO(picture.png(1))).convert("RGB")).astype(int)
    outside = pixels[int(image.y) + 2 : int(image.y) + 100, int(image.x) + 2 : int(image.x + image.width) - 2]
    assert outside.max() > 20
    assert np.ptp(outside, axis=2).max() == 0


class Functional(nn.Module):
    """Convolutions that are called as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 2, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(input=x, weight=self.weight, stride=(2, 1), padding=(1, 0), groups=2)


CONVOLUTIONS = {
    "plain": lambda: nn.Conv2d(4, 6, 3),
    "no bias": lambda: nn.Conv2d(4, 6, 3, bias=False),
    "strided": lambda: nn.Conv2d(4, 6, (3, 5), (2, 3), (1, 2)),
    "dilated": lambda: nn.Conv2d(4, 6, 3, dilation=(2, 3), padding=2),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2, padding=1),
    "depthwise": lambda: nn.Conv2d(4, 8, 3, groups=4, padding=1),
    "same": lambda: nn.Conv2d(4, 6, (3, 5), padding="same", dilation=2),
    "same, even": lambda: nn.Conv2d(4, 6, (4, 2), padding="same"),
    "valid": lambda: nn.Conv2d(4, 6, 3, padding="valid"),
    "reflected": lambda: nn.Conv2d(4, 6, 3, padding=2, padding_mode="reflect"),
    "replicated": lambda: nn.Conv2d(4, 6, 3, padding=(1, 2), padding_mode="replicate"),
    "circular": lambda: nn.Conv2d(4, 6, 5, padding=2, padding_mode="circular"),
    "function": Functional,
    "normalized": lambda: torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", list(CONVOLUTIONS))
def test_the_sum_is_what_the_layer_gives(name: str) -> None:
    torch.manual_seed(0)
    net = CONVOLUTIONS[name]().double()
    x = torch.randn(1, 4, 11, 13, dtype=torch.float64)
    with torch.no_grad():
        y = net(x)
    places = [(0, 0, 0), (5, y.shape[2] - 1, y.shape[3] - 1), (3, y.shape[2] // 2, 1)]
    for channel, row, column in places:
        found = explain_pixel(nn.Sequential(net), x, "0", channel, row, column)
        assert found.output == y[0, channel, row, column]
        assert abs(found.total - found.output) <= 1e-12
        products = [
            sum(p * k for ps, ks in zip(one.patch, one.kernel, strict=True) for p, k in zip(ps, ks, strict=True))
            for one in found.channels
        ]
        assert products == pytest.approx([one.total for one in found.channels])
        assert sum(products) + found.bias == pytest.approx(found.total)
        numbers = {one.number for one in found.channels}
        per_group = 4 // found.groups
        group = channel // (y.shape[1] // found.groups)
        assert numbers == set(range(group * per_group, (group + 1) * per_group))


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("resnet18", "conv3.block1.branch.conv1.conv", 64),
        ("lenet5", "c3", 32),
        ("alexnet", "block2", 96),
        ("xception", "block2", 64),
    ],
)
def test_a_number_of_our_nets(name: str, layer: str, size: int) -> None:
    net = ca.build(name, size=size).double().eval()
    x = torch.rand(1, net.channels, size, size, dtype=torch.float64)
    found = explain_pixel(net, x, layer, 3, 2, 1)
    kept: list[Tensor] = []
    net.get_submodule(found.layer).register_forward_hook(lambda module, given, output: kept.append(output))
    with torch.no_grad():
        net(x)
    assert found.output == kept[0][0, 3, 2, 1]
    assert abs(found.total - found.output) <= 1e-12 * max(1, abs(found.output))


def test_a_number_of_a_foreign_net() -> None:
    net = timm.create_model("convnext_atto").double().eval()
    x = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    found = explain_pixel(net, x, "stages.1.blocks.0.conv_dw", 7, 2, 2)
    assert found.groups == 80
    assert [one.number for one in found.channels] == [7]
    assert abs(found.total - found.output) <= 1e-12
    check_words(draw_pixel(found))


def test_the_picture_of_a_sum() -> None:
    net = nn.Sequential(nn.Conv2d(20, 4, 3)).double()
    found = explain_pixel(net, torch.randn(1, 20, 8, 8, dtype=torch.float64), "0", 1, 2, 3)
    picture = draw_pixel(found, "Weights: random.")
    check_words(picture)
    said = [shape.text for shape in flat(picture.shapes) if isinstance(shape, Text)]
    assert "0: map 1, row 2, column 3" in said
    assert "12 more channels" in said
    assert sum(text.startswith("channel ") for text in said) == 8
    assert said.count(f"{found.total:.9g}") == 2
    largest = max(found.channels, key=lambda one: abs(one.total))
    assert next(text for text in said if text.startswith("channel ")) == f"channel {largest.number}"
    assert str(found).startswith("0, map 1, row 2, column 3: 20 channels add")


def test_the_place_of_a_sum_in_the_photo() -> None:
    """What the number depends on is what its patch and the layers before read."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 4, 3)).double().eval()
    reached_pixels = reach_of_pixel(net, (3, 21, 21), "1", 2, 3)
    assert (reached_pixels.rows, reached_pixels.columns) == reached(net, net[1], (3, 21, 21), 2, 3)
    x = torch.rand(1, 3, 21, 21, dtype=torch.float64)
    photo = np.full((21, 21, 3), 200, np.uint8)
    picture = draw_pixel(explain_pixel(net, x, "1", 0, 2, 3), "", photo, reached_pixels)
    check_words(picture)
    (image,) = (shape for shape in flat(picture.shapes) if isinstance(shape, Image))
    mark = next(shape for shape in flat(picture.shapes) if isinstance(shape, Box) and shape.stroke == "#e8590c")
    scale = image.width / 21
    # Two steps of two rows, then windows of 3 at a stride of 2 and of 3: 7 rows.
    assert (mark.y - image.y, mark.height) == pytest.approx((4 * scale, 7 * scale))
    assert (mark.x - image.x, mark.width) == pytest.approx((6 * scale, 7 * scale))
    said = " ".join(shape.text for shape in flat(picture.shapes) if isinstance(shape, Text))
    assert "rows 4 to 10 of 21, columns 6 to 12 of 21" in said


def test_pixels_that_are_none() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    x = torch.zeros(1, 3, 8, 8)
    for place, hint in (((4, 0, 0), "channels 0 to 3"), ((0, 6, 0), "rows 0 to 5"), ((0, 0, -1), "columns 0 to 5")):
        with pytest.raises(ConvAtlasError, match=hint):
            explain_pixel(net, x, "0", *place)
    with pytest.raises(ConvAtlasError, match="not a 2-d convolution"):
        explain_pixel(net, x, "1", 0, 0, 0)
    with pytest.raises(UnknownName, match="known: 0, 1, 2, 3"):
        explain_pixel(net, x, "conv", 0, 0, 0)


def test_maps_are_those_of_the_layer() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU()).eval()
    x = torch.randn(1, 3, 9, 9)
    picture = draw_maps(net, x, "1")
    check_words(picture)
    images = [shape for shape in flat(picture.shapes) if isinstance(shape, Image)]
    assert len(images) == 5
    with torch.no_grad():
        value = net(x)[0, 2].double().numpy()
    from convatlas.pictures.pixels import png

    assert images[2].png == png(shaded(value))
    assert "black at 0" in picture.description
    assert "blue below 0" in draw_maps(net, x, "0").description
    with pytest.raises(ConvAtlasError, match="outputs maps"):
        draw_maps(nn.Sequential(net, nn.Flatten()), x, "1")


def test_only_so_many_maps() -> None:
    picture = draw_maps(nn.Conv2d(1, 300, 1), torch.ones(1, 1, 4, 4), "1")
    assert "The first 256 of 300 maps" in picture.description


def test_kernels() -> None:
    net = nn.Sequential(nn.Conv2d(3, 7, 5), nn.Conv2d(7, 4, 3), nn.Conv2d(4, 32, 3), nn.Conv2d(32, 2, 1))
    x = torch.zeros(1, 3, 20, 20)
    picture = draw_filters(net, x)
    check_words(picture)
    assert sum(isinstance(shape, Image) for shape in flat(picture.shapes)) == 7
    assert sum(isinstance(shape, Image) for shape in flat(draw_filters(net, x, "1").shapes)) == 28
    with pytest.raises(ConvAtlasError, match="32 channels"):
        draw_filters(net, x, "3")
    with pytest.raises(ConvAtlasError, match="has no 2-d convolution"):
        draw_filters(nn.Flatten(), x)


def test_colours_of_numbers() -> None:
    assert diverging(np.array([[-1.0, 0.0, 1.0]])).tolist() == [[[33, 102, 172], [247, 247, 247], [178, 24, 43]]]
    assert shaded(np.array([[0.0, 2.0]])).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    assert shaded(np.zeros((2, 2))).max() == 0

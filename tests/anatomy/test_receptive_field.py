"""Receptive fields: as published at every end point, and what the gradient reaches."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

import convatlas as ca
from convatlas.genes.structural import Add, Concat

# google-research/receptive_field, RECEPTIVE_FIELD_TABLE.md (with Araujo et al. 2019): AlexNet at its end points.
ALEXNET = {
    "features.0": (11, 4),
    "features.2": (19, 8),
    "features.3": (51, 8),
    "features.6": (99, 16),
    "features.8": (131, 16),
    "features.10": (163, 16),
    "features.12": (195, 32),
}


def test_alexnet_at_every_end_point() -> None:
    with torch.device("meta"):
        anatomy = ca.measure(models.alexnet(weights=None), size=224)
    layers = {layer.name: layer for layer in anatomy.layers}
    found = {name: (layers[name].field, layers[name].field_stride) for name in ALEXNET}
    assert found == {name: ((side, side), (step, step)) for name, (side, step) in ALEXNET.items()}
    assert anatomy.receptive_field == (195, 195)
    assert layers["classifier.1"].field is None
    assert layers["classifier.1"].sees_all


class Random(nn.Module):
    """Convolutions and pools of random kernels, strides, dilations and borders; two ways of one stride at times."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.ways = nn.ModuleList()
        for _ in range(draw.randint(2, 4)):
            stride = draw.choice([1, 1, 2, (1, 2), (2, 1)])
            ways = [self._part(draw, stride) for _ in range(draw.choice([1, 1, 2]))]
            if stride == 1 and draw.random() < 0.3:
                ways.append(nn.Identity())
            self.ways.append(nn.ModuleList(ways))
        self.add = Add()

    @staticmethod
    def _part(draw: random.Random, stride: int | tuple[int, int]) -> nn.Module:
        kernel = draw.choice([1, 3, 5]), draw.choice([1, 3, 5])
        if draw.random() < 0.3:
            return nn.AvgPool2d(kernel, stride, (kernel[0] // 2, kernel[1] // 2), count_include_pad=False)
        dilation = draw.choice([1, 2, 3]), draw.choice([1, 2])
        border = tuple((side - 1) * step // 2 for side, step in zip(kernel, dilation, strict=True))
        return nn.Conv2d(1, 1, kernel, stride, border, dilation, padding_mode=draw.choice(["zeros", "replicate"]))

    def forward(self, x: Tensor) -> Tensor:
        for ways in self.ways:
            x = self.add(*(way(x) for way in ways))
        return x


@pytest.mark.parametrize("seed", range(25))
def test_the_field_is_what_the_gradient_reaches(seed: int) -> None:
    """With positive weights every pixel of the field moves the unit, and no other one does."""
    net = Random(seed).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.uniform_(0.5, 1)
    last = ca.measure(net, size=288, channels=1).layers[-1]
    x = torch.rand(1, 1, 288, 288, dtype=torch.float64, requires_grad=True)
    y = net(x)
    row, column = y.shape[2] // 2, y.shape[3] // 2
    (first,) = torch.autograd.grad(y[0, 0, row, column], x, retain_graph=True)
    (second,) = torch.autograd.grad(y[0, 0, row + 1, column + 1], x)
    places, moved = first[0, 0].nonzero(), second[0, 0].nonzero()
    top, bottom = places.min(0).values, places.max(0).values
    assert top.min() > 0
    assert bottom.max() < 287
    assert last.field == tuple((bottom - top + 1).tolist())
    assert last.field_stride == tuple((moved.min(0).values - top).tolist())


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3), keepdim=True))


def test_a_gate_sees_the_whole_photo_and_keeps_the_grid() -> None:
    anatomy = ca.measure(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), Gate(), nn.Conv2d(4, 4, 3), nn.Flatten()), size=32)
    first, pooled, gate, product, conv, flat = anatomy.layers
    assert (first.field, first.field_stride, first.sees_all) == ((3, 3), (2, 2), False)
    assert (pooled.field, gate.field) == (None, None)
    assert (product.field, product.field_stride, product.sees_all) == ((3, 3), (2, 2), True)
    assert (conv.field, conv.field_stride, conv.sees_all) == ((7, 7), (2, 2), True)
    assert (flat.field, flat.sees_all) == (None, True)
    assert anatomy.receptive_field == (7, 7)


def test_channels_that_are_shuffled_keep_their_grid() -> None:
    class Shuffle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            n, c, h, w = x.shape
            return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)

    anatomy = ca.measure(nn.Sequential(nn.Conv2d(3, 4, 3), Shuffle(), nn.Conv2d(4, 4, 3)), size=16)
    assert anatomy.receptive_field == (5, 5)
    assert not any(layer.sees_all for layer in anatomy.layers)


def test_windows_given_by_name_or_to_functions() -> None:
    class Functions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 3, 3, 5))
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            x = F.conv2d(input=x, weight=self.weight, stride=2, dilation=(2, 1), padding=2)  # 5 x 5, stride 2
            x, _ = F.max_pool2d(self.relu(x), kernel_size=3, stride=2, return_indices=True)  # + 2 * 2, stride 4
            return F.avg_pool2d(x, 2, stride=1)  # + 1 * 4

    layers = ca.measure(Functions(), size=32).layers
    assert [layer.field for layer in layers if layer.kernel] == [(5, 5), (9, 9), (13, 13)]
    assert [layer.field_stride for layer in layers if layer.kernel] == [(2, 2), (4, 4), (4, 4)]


def test_the_widest_of_several_ways_counts() -> None:
    class Ways(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small, self.large = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, (1, 7), padding=(0, 3))
            self.tall = nn.Conv2d(3, 2, (5, 1), padding=(2, 0))
            self.concat = Concat()

        def forward(self, x: Tensor) -> Tensor:
            return self.concat(self.small(x), self.large(x), self.tall(x))

    assert ca.measure(Ways(), size=16).layers[-1].field == (5, 7)


def test_windows_side_by_side_in_one_layer_count_once() -> None:
    """An average that divides by the pixels inside; a maximum and an average mixed; a blur after a maximum."""
    layers = {layer.name: layer for layer in ca.measure("inception_v3").layers}
    pool = layers["mixed0.branches.branches.3.pool"]
    assert pool.padding == (1, 1)
    before = layers["stem.pool2"]
    assert pool.field == tuple(side + 2 * step for side, step in zip(before.field, before.field_stride, strict=True))
    mixed = ca.measure("vgg16", genes={"pooling": "mixed"}, size=64).layers
    blurred = ca.measure("vgg16", genes={"pooling": "blurred"}, size=64).layers
    first = [next(layer for layer in found if layer.name == "block1.pool") for found in (mixed, blurred)]
    assert [layer.field for layer in first] == [(6, 6), (8, 8)]


class Steps(nn.Module):
    """A convolution, a function of its map, and a convolution."""

    def __init__(self, function: Callable[[Tensor], Tensor], channels: int = 4, kernel: int = 3) -> None:
        super().__init__()
        self.first, self.function = nn.Conv2d(1, 4, 3, 2, 1), function
        self.last = nn.Conv2d(channels, 1, kernel)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.first(x)))


def channels_last(x: Tensor) -> Tensor:
    return F.layer_norm(x.permute(0, 2, 3, 1), (4,)).mul(0).add(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


UP = nn.ConvTranspose2d(4, 4, 4, 2, 1)
OVERLAPPING = nn.ConvTranspose2d(4, 4, (5, 3), (3, 2), (1, 0), dilation=1)
GRIDS: dict[str, Steps] = {
    "nearest": Steps(lambda x: F.interpolate(x, scale_factor=2)),
    "nearest, even kernel": Steps(lambda x: F.interpolate(x, scale_factor=2), kernel=2),
    "nearest, three times": Steps(lambda x: F.interpolate(x, scale_factor=3), kernel=2),
    "nearest, by a size": Steps(lambda x: F.interpolate(x, size=(36, 48))),
    "twice": Steps(lambda x: F.interpolate(F.interpolate(x, scale_factor=2), scale_factor=2)),
    "smaller": Steps(lambda x: F.interpolate(x, scale_factor=0.5)),
    "bilinear": Steps(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    "bicubic": Steps(lambda x: F.interpolate(x, scale_factor=2, mode="bicubic")),
    "area": Steps(lambda x: F.interpolate(x, size=(16, 18), mode="area")),
    "adaptive": Steps(lambda x: F.adaptive_avg_pool2d(x, (12, 16))),
    "transposed": Steps(UP),
    "transposed, overlapping": Steps(OVERLAPPING),
    "pixel shuffle": Steps(lambda x: F.pixel_shuffle(x, 2), channels=1),
    "pixel unshuffle": Steps(lambda x: F.pixel_unshuffle(x, 2), channels=16),
    "slices": Steps(lambda x: x[..., 1::2, 2:], kernel=2),
    "space to depth": Steps(lambda x: torch.cat([x[..., a::2, b::2] for a in (0, 1) for b in (0, 1)], 1), channels=16),
    "border": Steps(lambda x: F.pad(x, (3, 1, 2, 2))),
    "channels last": Steps(channels_last),
    "mean of channels": Steps(lambda x: x.mean(1).unsqueeze(1), channels=1),
    "sum of channels": Steps(lambda x: x.sum(1, keepdim=True), channels=1),
    "antialiased": Steps(lambda x: F.interpolate(x, size=(16, 24), mode="bilinear", antialias=True)),
    "average, ceiled": Steps(lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True)),
}


@pytest.mark.parametrize("name", list(GRIDS))
def test_fields_behind_every_change_of_the_grid(name: str) -> None:
    """The widest field of all units far from the border, and how far their fields lie apart."""
    net = GRIDS[name].double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.uniform_(0.5, 1)
    x = torch.rand(1, 1, 96, 96, dtype=torch.float64, requires_grad=True)
    y = net(x)
    layers = ca.measure(net, size=96, channels=1).layers
    assert not any(layer.sees_all for layer in layers)
    field, stride = layers[-1].field, layers[-1].field_stride
    assert field is not None
    assert stride is not None
    for side in (0, 1):
        size, middle = y.shape[2 + side], y.shape[3 - side] // 2
        spans = []
        for place in range(size):
            unit = y[0, 0, place, middle] if side == 0 else y[0, 0, middle, place]
            (gradient,) = torch.autograd.grad(unit, x, retain_graph=True)
            reached = gradient[0, 0].abs().sum(1 - side).nonzero().flatten().tolist()
            # A unit that reads the border alone reaches nothing.
            spans += [(reached[0], reached[-1])] if reached else []
        inside = [span for span in spans if span[0] > 0 and span[1] < 95]
        assert field[side] == max(last - first + 1 for first, last in inside)
        apart = 12 if len(inside) > 12 else 6
        steps = [later[0] - earlier[0] for earlier, later in zip(inside, inside[apart:], strict=False)]
        assert apart * stride[side] == pytest.approx(sum(steps) / len(steps), abs=0.51)


MOVED: dict[str, Steps] = {
    "rows and columns exchanged": Steps(lambda x: x.transpose(2, 3)),
    "turned": Steps(lambda x: torch.rot90(x, 1, (2, 3))),
    "mirrored": Steps(lambda x: x + x.flip(3)),
    "rolled": Steps(lambda x: x + x.roll(2, 2)),
    "summed up": Steps(lambda x: x.cumsum(3)),
    "softmax along rows": Steps(lambda x: x.softmax(3)),
    "halves as channels": Steps(lambda x: torch.cat(x.chunk(2, 2), 1), channels=8),
    "chosen rows": Steps(lambda x: x[:, :, torch.arange(0, 48, 2, device=x.device)]),
    "repeated rows": Steps(lambda x: x.repeat_interleave(2, 2)),
    "a dense layer along rows": Steps(nn.Linear(48, 48)),
    "a matrix": Steps(lambda x: x @ torch.ones(48, 48, device=x.device, dtype=x.dtype)),
    "frequencies": Steps(lambda x: torch.fft.fft2(x).real),
    "a sampled grid": Steps(lambda x: F.grid_sample(x, x[0, 0, :, :, None].expand(1, 48, 48, 2), align_corners=False)),
    "volumes": Steps(lambda x: F.avg_pool3d(x[:, None], (1, 3, 2), (1, 2, 2))[:, 0]),
    "unpooled": Steps(lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)),
    "folded": Steps(lambda x: F.fold(F.unfold(x, 3, padding=1), (48, 48), 3, padding=1)),
    "patches merged, channels last": Steps(
        lambda x: torch.cat([x.permute(0, 2, 3, 1)[:, a::2, ::2] for a in (0, 1)], -1).permute(0, 3, 1, 2), channels=8
    ),
}


@pytest.mark.parametrize("name", list(MOVED))
def test_no_field_is_claimed_where_positions_cannot_be_followed(name: str) -> None:
    layers = ca.measure(MOVED[name], size=96, channels=1).layers
    assert (layers[0].field, layers[0].field_stride) == ((3, 3), (2, 2))
    assert (layers[-1].field, layers[-1].field_stride, layers[-1].sees_all) == (None, None, False)


@pytest.mark.parametrize(
    ("layer", "sees_all"),
    [
        (nn.GroupNorm(2, 4), True),
        (nn.InstanceNorm2d(4), True),
        (nn.LayerNorm((4, 47, 47)), True),
        (nn.InstanceNorm2d(4, track_running_stats=True), False),
        (nn.BatchNorm2d(4), False),
    ],
    ids=str,
)
def test_normalizations_by_the_whole_map_see_the_photo_and_keep_the_grid(layer: nn.Module, sees_all: bool) -> None:
    last = ca.measure(nn.Sequential(nn.Conv2d(3, 4, 3, 2), layer), size=96).layers[-1]
    assert (last.field, last.field_stride, last.sees_all) == ((3, 3), (2, 2), sees_all)


def test_yolo_v3_behind_its_enlargements() -> None:
    layers = {layer.name: layer for layer in ca.measure("yolo_v3", size=96).layers}
    ends = [layers[f"boxes{number}.boxes1.conv"] for number in (1, 2, 3)]
    assert [end.field_stride for end in ends] == [(32, 32), (16, 16), (8, 8)]
    assert [end.field for end in ends] == [(917, 917), (949, 949), (981, 981)]


def test_only_what_sees_the_whole_photo_says_so() -> None:
    """Behind a crop, a vector sees no more than the crop did; a mean over rows sees whole columns."""
    cropped = ca.measure(nn.Sequential(nn.Conv2d(3, 4, 3), Cropped(), nn.Flatten(), nn.Linear(16, 2)), size=16).layers
    assert [layer.sees_all for layer in cropped] == [False] * 4
    assert [layer.field for layer in cropped] == [(3, 3), (3, 3), (4, 4), (4, 4)]
    assert [layer.field_stride for layer in cropped] == [(1, 1), (1, 1), None, None]
    whole = ca.measure(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(784, 2)), size=16).layers
    assert [layer.sees_all for layer in whole] == [False, True, True]
    strip = ca.measure(nn.Sequential(nn.Conv2d(3, 4, 3), MeanOfRows(), nn.Conv2d(4, 2, (1, 3))), size=16).layers
    assert [layer.field for layer in strip] == [(3, 3), (16, 3), (16, 5)]
    assert not any(layer.sees_all for layer in strip)


class Cropped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 1:3, 1:3]


class MeanOfRows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(2, keepdim=True)


class Tokens(nn.Module):
    """Patches as tokens, a layer for each, attention of all of them, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.each = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8)
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.each(self.patches(x).flatten(2).transpose(1, 2))
        return self.head((tokens + self.attention(tokens, tokens, tokens)[0]).mean(1))


class Windows(nn.Module):
    """Attention within windows of 2 x 2 positions, added to the map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        n, c, h, w = x.shape
        windows = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, c)
        windows = F.scaled_dot_product_attention(windows, windows, windows)
        back = windows.reshape(n, h // 2, w // 2, 2, 2, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)
        return self.last(x + back).mean((2, 3))


def test_tokens_see_the_whole_photo_from_the_first_attention_on() -> None:
    layers = ca.measure(Tokens(), size=32).layers
    first = next(index for index, layer in enumerate(layers) if layer.kind in ("attention", "MultiheadAttention"))
    assert [layer.sees_all for layer in layers] == [False] * first + [True] * (len(layers) - first)
    assert [layer.field for layer in layers[1:]] == [None] * (len(layers) - 1)
    assert layers[0].field == (4, 4)
    # Where it is not known the table says neither.
    rows = ca.measure(Tokens(), size=32).table().rows
    assert [row["field"] for row in rows] == [(4, 4), *[None] * (first - 1), *["whole"] * (len(rows) - first)]


def test_windows_do_not_see_the_whole_photo() -> None:
    layers = ca.measure(Windows(), size=32).layers
    assert [layer.sees_all for layer in layers] == [False] * (len(layers) - 1) + [True]


def test_other_inputs_than_photos_have_no_field() -> None:
    layers = ca.measure(nn.Sequential(nn.Conv1d(1, 4, 9, 4), nn.ReLU()), input_shape=(1, 1600)).layers
    assert {(layer.field, layer.field_stride, layer.sees_all) for layer in layers} == {(None, None, False)}
    assert ca.measure(nn.Conv1d(1, 4, 9, 4), input_shape=(1, 1600)).receptive_field is None

"""What a reader sees of a net: attention as one layer, no views, shapes with channels last, no end in an error."""

from __future__ import annotations

from functools import cache

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from tests.anatomy.pictures import check_blocks, check_words
from torch import Tensor, nn

import convatlas as ca
from convatlas.anatomy.anatomy import Anatomy
from convatlas.anatomy.measure.records import Layer
from convatlas.anatomy.report.paper_table import latex
from convatlas.anatomy.report.sentences import describe
from convatlas.anatomy.structure.condense import condensed
from convatlas.anatomy.structure.dna import dna
from convatlas.anatomy.structure.stages import stages
from convatlas.anatomy.structure.tokens import Words
from convatlas.pictures.shapes import Text, flat


def said(anatomy: Anatomy) -> list[str]:
    return [shape.text for shape in flat(anatomy.draw().shapes) if isinstance(shape, Text)]


def seen(net: nn.Module, size: int = 16) -> tuple[Layer, ...]:
    return condensed(ca.measure(net, size=size, channels=3)).layers


class Block(nn.Module):
    """A transformer's block on the pixels of a map; the `attention` reads tokens (N, P, C)."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 4, stride=4)
        self.norm, self.attention, self.head = nn.LayerNorm(32), attention, nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x).flatten(2).transpose(1, 2)  # (N, 16, 32)
        return self.head(self.attention(self.norm(y)) + y)


class ByHand(nn.Module):
    """Attention as papers write it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(32, 96), nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.first(x).reshape(*x.shape[:2], 3, 4, 8).permute(2, 0, 3, 1, 4)
        y = (q @ k.transpose(-2, -1) / 8**0.5).softmax(-1) @ v
        return self.last(y.transpose(1, 2).reshape(x.shape))


class Multihead(nn.Module):
    """PyTorch's attention, of a sequence with the batch second."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(0, 1)
        return self.inner(y, y, y)[0].transpose(0, 1)


class Residual(ByHand):
    """Attention that adds what it was given."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x


@pytest.mark.parametrize("make", [ByHand, Multihead, Residual, lambda: timm.layers.Attention(32, 4)])
def test_attention_is_one_layer(make: type[nn.Module]) -> None:
    net = Block(make())
    layers = seen(net)
    kinds = [layer.kind for layer in layers]
    assert kinds.count("attention") == 1
    assert set(kinds) <= {"convolution", "layer normalization", "attention", "sum", "dense"}
    (one,) = (layer for layer in layers if layer.kind == "attention")
    assert (one.setting, one.output) == ("4", (16, 32))
    assert one.parameters == sum(weight.numel() for weight in net.attention.parameters())
    anatomy = ca.measure(net, size=16)
    assert one.macs == anatomy.macs - sum(layer.macs for layer in layers if layer.kind != "attention")
    words = said(anatomy)
    assert {"attention", "4 heads", "LN"} <= set(words)
    assert not {"transpose", "permute", "reshape", "slice"} & set(words)
    assert f"attention({one.parameters}):4" in dna(anatomy).genes


def test_an_opened_attention_shows_its_operations() -> None:
    anatomy = ca.measure(Block(ByHand()), size=16)
    opened = anatomy.draw(expand="attention")
    check_words(opened)
    words = {shape.text for shape in flat(opened.shapes) if isinstance(shape, Text)}
    assert {"softmax", "product of matrices", "transpose"} <= words


def test_timm_and_torchvision_attend_alike() -> None:
    """Each of PyTorch's 12 heads reads 1/12 of the width; both nets have 12 blocks that are drawn once."""
    with torch.device("meta"):
        nets = (torchvision.models.vit_b_16(), timm.create_model("vit_base_patch16_224"))
        found = [ca.measure(net, size=224) for net in nets]
    assert dna(found[0]).genes == dna(found[1]).genes
    for anatomy in found:
        words = said(anatomy)
        assert {"×12", "12 heads", "197×3072", "slice [:, 0]"} <= set(words)
        assert words.count("attention") == 2  # a box and its meaning


@cache
def swin() -> Anatomy:
    with torch.device("meta"):
        return ca.measure(torchvision.models.swin_t(), size=224)


def test_channels_come_last() -> None:
    words = said(swin())
    assert {"56×56×96", "56×56×384", "28×28×384", "7×7×768", "space to depth", "24 heads"} <= set(words)
    assert not [text for text in words if text in ("56×96×56", "28×192×28", "96×56×56")]
    boxes = [shape.text for shape in flat(swin().draw(style="boxes").shapes) if isinstance(shape, Text)]
    assert {"96@56×56", "192@28×28", "384@14×14", "768@7×7"} <= set(boxes)
    assert "28×28×192" not in boxes


class Orders(nn.Module):
    """Maps with their channels first, last, and among tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.dense = nn.Conv2d(3, 8, 1), nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x).permute(0, 2, 3, 1)).relu()  # (N, H, W, 8)
        y = self.dense(y.reshape(x.shape[0], -1, 8)).exp()  # (N, H W, 8)
        return y.transpose(1, 2).reshape(x.shape[0], 8, *x.shape[2:]).sin()  # (N, 8, H, W)


def test_the_side_of_channels_is_followed() -> None:
    """With as many rows as channels only the operations tell."""
    words = Words(ca.measure(Orders(), size=(8, 8)))
    shapes = {layer.kind: words.shown[number] for number, layer in words.layers.items()}
    assert shapes["ReLU"] == shapes["layer normalization"] == shapes["sin"] == (8, 8, 8)
    assert shapes["dense"] == (64, 8)
    # The sides of the last shape before the next layer: that of the exponential is a map again.
    assert [words.sides[number] for number in words.layers] == [0, 2, 2, 1, 0, 0]


class Shuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y = y.view(y.shape[0], 2, 4, *y.shape[2:]).transpose(1, 2).contiguous().view(y.shape)
        return torch.cat((y[..., ::2, ::2], y[..., 1::2, ::2], y[..., ::2, 1::2], y[..., 1::2, 1::2]), 1)


def test_shuffles_are_no_views() -> None:
    layers = seen(Shuffle())
    assert [layer.kind for layer in layers] == ["convolution", "channel shuffle", "space to depth"]
    assert layers[-1].output == (32, 8, 8)


class Mixed(nn.Module):
    """A convolution whose map is read with its channels last, and a normalization of all tokens of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 6), nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dense(self.conv(x).permute(0, 2, 3, 1))  # (N, H, W, 6)
        y = self.norm(y.flatten(0, 2)).view_as(y).permute(0, 3, 1, 2)
        return F.interpolate(y, scale_factor=2)


def test_widths_are_numbers_of_channels() -> None:
    anatomy = ca.measure(Mixed(), size=(12, 8))
    words = Words(anatomy)
    assert [str(words.word(number)) for number in words.layers] == ["c3-6b", "dense-6b", "bn", "interpolate"]
    assert {"12×8×6", "24×16×6"} <= set(" ".join(said(anatomy)).split())


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y / y.std() + y.max()


class Functions(nn.Module):
    """A net of functions alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Parameter(torch.randn(8, 3, 3, 3)), nn.Parameter(torch.randn(10, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = F.max_pool2d(F.relu(F.conv2d(x, self.first, padding=1)), 2)
        return F.linear(F.adaptive_avg_pool2d(y, 1).flatten(1), self.last)


def test_a_net_of_functions_is_drawn_as_its_operations() -> None:
    anatomy = ca.measure(Functions(), size=16)
    assert {"Functions", "3×3 conv", "2×2 max pool /2", "dense", "16×16×8"} <= set(said(anatomy))
    assert anatomy.path == 2


class Boxes(nn.Module):
    """Predictions that are decoded by a dozen operations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).flatten(2)
        width, height = y[:, 0].exp(), y[:, 1].exp()
        left, top = y[:, 2].sub(width.div(2)), y[:, 3].sub(height.div(2))
        return torch.stack((left, top, left.add(width), top.add(height)), 1).clamp(0, 1)


def test_a_calculation_is_one_box() -> None:
    anatomy = ca.measure(Boxes(), size=8)
    assert [layer.kind for layer in condensed(anatomy).layers] == ["convolution", "calculation"]
    assert "14 operations" in said(anatomy)


class Between(nn.Module):
    """A stage that multiplies what two others give."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
        self.third = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z = self.second(y)
        return self.third(y * z) + y * z * self.second(z)


SMALL = {
    "between": Between,
    "scaled": Scaled,
    "functions": Functions,
    "boxes": Boxes,
    "orders": Orders,
    "shuffle": Shuffle,
}
SMALL |= {"attention": lambda: Block(ByHand()), "convolution": lambda: nn.Conv2d(3, 4, 3)}
LARGE = {
    f"torchvision:{name}": lambda name=name: torchvision.models.get_model(name, weights=None, weights_backbone=None)
    for name in (
        "lraspp_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn", "ssdlite320_mobilenet_v3_large",
        "fcos_resnet50_fpn", "retinanet_resnet50_fpn", "keypointrcnn_resnet50_fpn", "deeplabv3_mobilenet_v3_large",
    )
} | {
    f"timm:{name}": lambda name=name: timm.create_model(name)
    for name in ("coat_tiny", "maxvit_tiny_rw_224", "sequencer2d_s", "xcit_nano_12_p16_224", "gcvit_xxtiny",
        "crossvit_tiny_240", "tnt_s_patch16_224", "swiftformer_xs",
    )
}  # fmt: skip


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_any_net_is_drawn_described_and_compared(name: str) -> None:
    """In every style, with every stage opened."""
    net = (SMALL | LARGE)[name]()
    anatomy = ca.measure(net, size=16) if name in SMALL else ca.measure(net)
    pictures = [anatomy.draw(), anatomy.draw(style="boxes")]
    pictures += [anatomy.draw(expand=stage.name) for stage in stages(anatomy)[-2:]]
    check_blocks(pictures[0])
    for picture in pictures:
        check_words(picture)
        assert picture.width <= 2600
    assert describe(anatomy)
    assert latex(anatomy)
    assert ca.compare(anatomy, anatomy).shared == 1

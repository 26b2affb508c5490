"""The nets of the matrix: of the atlas, of torchvision and timm, and small ones of which each is awkward in one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas as ca
from convatlas.catalogue.cards import find_card
from convatlas.nets.user_net import load_user_net


@dataclass
class Case:
    """A net with an input of it, and what to explain."""

    net: nn.Module
    x: Tensor
    target: str | int | None = None


class Functional(nn.Module):
    """Functions in place of modules, one of them on both branches of a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first(x))
        z = F.relu(self.second(y)) + y
        return self.head(F.adaptive_avg_pool2d(F.relu(z), 1).flatten(1))


class InPlace(nn.Module):
    """Sums in place, writes into slices and into the input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x.mul_(0.5)
        y = self.act(self.first(x))
        z = self.act(self.second(y)) + 0
        z += y
        z[:, :2] = z[:, :2] * 2
        out = torch.zeros_like(z)
        out[:, ::2] = z[:, 1::2]
        out[:, 1::2] = self.act(z)[:, ::2]
        out[:, 0].mul_(0.5)
        return self.head(F.max_pool2d(out, 2).mean((2, 3)))


class Scripted(nn.Module):
    """A child that TorchScript runs."""

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU())
        self.stem = torch.jit.script(stem.eval())
        self.conv, self.head = nn.Conv2d(8, 8, 3), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv(self.stem(x))).mean((2, 3)))


class Swish(torch.autograd.Function):
    """x · sigmoid(x) with a backward of its own."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(x)
        return gradient * gate * (1 + x * (1 - gate))


class Custom(nn.Module):
    """A function of the user."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(Swish.apply(self.second(Swish.apply(self.first(x)))).mean((2, 3)))


def photo(channels: int, side: int) -> Tensor:
    """A bright disc on a slope, with some noise: values from about -2 to 2."""
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    disc = ((rows - 0.2) ** 2 + (columns + 0.1) ** 2 < 0.25).float()
    tint = torch.linspace(0.6, 1, channels).view(-1, 1, 1)
    return (2 * disc - 0.5 + 0.5 * columns) * tint + 0.1 * torch.randn(channels, side, side, generator=generator)


def _settled(net: nn.Module, x: Tensor) -> nn.Module:
    """The net with the statistics of its normalizations from photos, so that maps are as large as when trained."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    generator = torch.Generator().manual_seed(2)
    photos = torch.stack([x, x.flip(2), -x, x + 0.5 * torch.randn(x.shape, generator=generator)])
    with torch.no_grad():
        net(photos)
    for norm in norms:
        norm.momentum = 0.1
    return net.eval()


def _of_atlas(name: str, side: int = 64, target: str | None = None) -> Case:
    height, _, channels = find_card(name).input
    x = photo(channels, min(height, side))
    net = ca.build(name, seed=0, size=x.shape[1]).eval()
    return Case(_settled(net, x), x, target)


def _of_torchvision(name: str) -> Case:
    import torchvision

    options = {"init_weights": True} if name == "googlenet" else {}
    return Case(_settled(getattr(torchvision.models, name)(weights=None, **options).eval(), photo(3, 64)), photo(3, 64))


def _of_timm(name: str) -> Case:
    import timm

    return Case(_settled(timm.create_model(name, pretrained=False).eval(), photo(3, 64)), photo(3, 64))


def _exported() -> Case:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.pt2"
        ca.export(_of_atlas("mobilenet").net, path, input_shape=(3, 64, 64))
        return Case(load_user_net(str(path)).eval(), photo(3, 64))


MAKERS: dict[str, Callable[[], Case]] = {
    "lenet5": lambda: _of_atlas("lenet5"),
    "vgg16": lambda: _of_atlas("vgg16"),
    "resnet50": lambda: _of_atlas("resnet50"),
    "densenet121": lambda: _of_atlas("densenet121"),
    "efficientnet_b0": lambda: _of_atlas("efficientnet_b0"),
    "convnext_tiny": lambda: _of_atlas("convnext_tiny"),
    "nasnet_mobile": lambda: _of_atlas("nasnet_mobile"),
    "shufflenet_v2": lambda: _of_atlas("shufflenet_v2_x1_0"),
    "capsnet": lambda: _of_atlas("capsnet"),
    "yolo_v2_tiny": lambda: _of_atlas("yolo_v2_tiny", 96, "box:0"),
    "torchvision_googlenet": lambda: _of_torchvision("googlenet"),
    "torchvision_resnet18": lambda: _of_torchvision("resnet18"),
    "timm_mobilenetv3": lambda: _of_timm("mobilenetv3_small_100"),
    "functional": lambda: Case(Functional().eval(), photo(3, 64)),
    "in_place": lambda: Case(InPlace().eval(), photo(3, 64)),
    "scripted": lambda: Case(Scripted().eval(), photo(3, 64)),
    "custom_function": lambda: Case(Custom().eval(), photo(3, 64)),
    "exported": _exported,
}
"""Makers of the nets, by name."""

SMALL = ("lenet5", "functional", "in_place", "scripted", "custom_function")
"""The nets on which every probe takes a moment."""


@cache
def case(name: str) -> Case:
    """The net of this name, with random weights from a seed.

    Where no target is named, it is the class that the photo raises most above a photo of its average colour.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = MAKERS[name]()
    if made.target is None:
        plain = made.x.mean((1, 2), keepdim=True).expand_as(made.x)
        with torch.no_grad():
            own, other = made.net(torch.stack([made.x, plain]))
        made.target = int((own - other).argmax())
    return made

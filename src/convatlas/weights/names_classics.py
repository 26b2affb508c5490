"""What the layers of torchvision's and timm's nets are called there, and where they are in ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from convatlas.nets.net import Net
from convatlas.nets.resnet import Residual
from convatlas.nets.shufflenet_v2 import Unit

Names = Iterator[tuple[str, str]]
"""(their name, our name) of every layer with weights, in the order of the net."""


def alexnet(net: Net) -> Names:
    """The names of torchvision's `alexnet`."""
    for block, number in enumerate((0, 3, 6, 8, 10), 1):
        yield f"features.{number}", f"block{block}.conv"
    yield "classifier.1", "head.dense1"
    yield "classifier.4", "head.dense2"
    yield "classifier.6", "head.dense"


def googlenet(net: Net) -> Names:
    """The names of torchvision's `googlenet`, with its auxiliary heads if ours has them."""
    for number in (1, 2, 3):
        yield from _unit(f"conv{number}", f"stem.conv{number}")
    for name, _ in net.named_children():
        if name.startswith("inception"):
            ours = f"{name}.branches.branches"
            yield from _unit(f"{name}.branch1", f"{ours}.0.conv1")
            for branch in (1, 2):
                yield from _unit(f"{name}.branch{branch + 1}.0", f"{ours}.{branch}.conv1")
                yield from _unit(f"{name}.branch{branch + 1}.1", f"{ours}.{branch}.conv2")
            yield from _unit(f"{name}.branch4.1", f"{ours}.3.conv2")
        elif name.startswith("aux"):
            yield from _unit(f"{name}.conv", f"{name}.reduce")
            yield f"{name}.fc1", f"{name}.classify.dense1"
            yield f"{name}.fc2", f"{name}.classify.dense"
    yield "fc", "head.dense"


def _unit(theirs: str, ours: str) -> Names:
    yield f"{theirs}.conv", f"{ours}.conv"
    yield f"{theirs}.bn", f"{ours}.norm"


def resnet(net: Net) -> Names:
    """The names of torchvision's and timm's nets of the ResNet family, version 1."""
    yield "conv1", "stem.conv"
    yield "bn1", "stem.norm"
    for ours, block in net.named_modules():
        if not isinstance(block, Residual):
            continue
        stage, number = ours.removeprefix("conv").split(".block")
        theirs = f"layer{int(stage) - 1}.{int(number) - 1}"
        for name, _ in block.branch.named_children():
            if name.startswith("conv"):
                yield f"{theirs}.{name}", f"{ours}.branch.{name}.conv"
                yield f"{theirs}.{name.replace('conv', 'bn')}", f"{ours}.branch.{name}.norm"
            elif name == "attention":
                yield f"{theirs}.se.fc1", f"{ours}.branch.attention.gate.reduce"
                yield f"{theirs}.se.fc2", f"{ours}.branch.attention.gate.expand"
        if block.shortcut is not None:
            yield f"{theirs}.downsample.0", f"{ours}.shortcut.conv"
            yield f"{theirs}.downsample.1", f"{ours}.shortcut.norm"
    yield "fc", "head.dense"


def shufflenet_v2(net: Net) -> Names:
    """The names of torchvision's nets of the ShuffleNetV2 family."""
    yield "conv1.0", "stem.conv"
    yield "conv1.1", "stem.norm"
    for ours, unit in net.named_modules():
        if not isinstance(unit, Unit):
            continue
        stage, number = ours.split(".unit")
        theirs = f"{stage}.{int(number) - 1}"
        ways = {"branch1": "skip", "branch2": "branch"} if unit.work is None else {"branch2": "branch"}
        for branch, way in ways.items():
            place = 0
            for name, part in getattr(unit, way).named_children():
                yield f"{theirs}.{branch}.{place}", f"{ours}.{way}.{name}.conv"
                yield f"{theirs}.{branch}.{place + 1}", f"{ours}.{way}.{name}.norm"
                place += len(part)
    yield "conv5.0", "after.conv"
    yield "conv5.1", "after.norm"
    yield "fc", "head.dense"


@dataclass(frozen=True)
class Twin:
    """The same net elsewhere: in which library, under which name, and what its layers are called there."""

    library: str
    name: str
    names: Callable[[Net], Names]


TWINS = {
    "alexnet_one_tower": Twin("torchvision", "alexnet", alexnet),
    "googlenet_bn": Twin("torchvision", "googlenet", googlenet),
    "resnet18": Twin("torchvision", "resnet18", resnet),
    "resnet34": Twin("torchvision", "resnet34", resnet),
    "resnext50_32x4d": Twin("torchvision", "resnext50_32x4d", resnet),
    "se_resnet50": Twin("timm", "seresnet50", resnet),
    "se_resnext50_32x4d": Twin("timm", "seresnext50_32x4d", resnet),
    "shufflenet_v2_x0_5": Twin("torchvision", "shufflenet_v2_x0_5", shufflenet_v2),
    "shufflenet_v2_x1_0": Twin("torchvision", "shufflenet_v2_x1_0", shufflenet_v2),
    "shufflenet_v2_x1_5": Twin("torchvision", "shufflenet_v2_x1_5", shufflenet_v2),
    "shufflenet_v2_x2_0": Twin("torchvision", "shufflenet_v2_x2_0", shufflenet_v2),
}
"""Of each net that has one: its twin."""

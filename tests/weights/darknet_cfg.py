"""Our rows as darknet's cfg text, and narrow ones that are quick to run."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from convatlas.genes.genome import Genome
from convatlas.nets.darknet_steps import Boxes, Conv, Local, Pool, Pyramid, Reorg, Residual, Step, Upsample
from convatlas.nets.families import darknet, yolo
from convatlas.nets.families.darknet import Darknet
from convatlas.nets.families.yolo import YOLO
from convatlas.nets.initialize import initialize
from convatlas.nets.net import Net

NAMES = [*Darknet.variants, *YOLO.variants]
CLASSES = 3


def _narrow(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(
        dataclasses.replace(step, width=max(4, step.width // 32)) if isinstance(step, Conv | Local) else step
        for step in steps
    )


def narrow(name: str, size: tuple[int, int], genome: Genome | None = None) -> Net:
    """The net called `name` with a 32nd of its widths, random weights that all count, in evaluation mode."""
    family: type[Net] = Darknet if name in Darknet.variants else YOLO
    row = narrow_row(name)
    with torch.device("meta"):
        net = family(row, genome or family.default_genome(row), CLASSES, 3, size)
    net.to_empty(device="cpu")
    initialize(net, NAMES.index(name))
    stir(net)
    return net.eval()


def narrow_row(name: str) -> darknet.Config | yolo.Config:
    """Its row."""
    if name in Darknet.variants:
        small = Darknet.variants[name]
        return dataclasses.replace(small, stages=tuple(map(_narrow, small.stages)))
    row = YOLO.variants[name]
    stages = tuple(dataclasses.replace(stage, steps=_narrow(stage.steps)) for stage in row.stages)
    return dataclasses.replace(row, stages=stages)


def stir(net: nn.Module, seed: int = 0) -> None:
    """Biases and statistics that are no longer 0 and 1."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in net.modules():
            norm = isinstance(module, nn.BatchNorm2d)
            for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                noise = torch.rand(tensor.shape, generator=draw)
                if name == "running_var":
                    tensor.copy_(0.5 + noise)
                elif norm and name == "weight":
                    tensor.copy_((0.5 + noise) / 2)
                elif name in ("bias", "running_mean"):
                    tensor.copy_((noise - 0.5) / 4)


class Cfg:
    """The sections of a cfg file, and which of them ends each stage."""

    def __init__(self, size: tuple[int, int]):
        self.sections: list[tuple[str, dict[str, object]]] = [
            ("net", {"batch": 1, "height": size[0], "width": size[1], "channels": 3})
        ]
        self.ends: dict[str, int] = {}

    @property
    def last(self) -> int:
        return len(self.sections) - 2

    def add(self, kind: str, options: dict[str, object] | None = None, **more: object) -> None:
        self.sections.append((kind, (options or {}) | more))

    def conv(self, filters: int, size: int, stride: int = 1, plain: bool = False) -> None:
        norm: dict[str, object] = {} if plain else {"batch_normalize": 1}
        activation = "linear" if plain else "leaky"
        self.add("convolutional", norm, filters=filters, size=size, stride=stride, pad=1, activation=activation)

    def text(self) -> str:
        return "\n".join(
            f"[{kind}]\n" + "".join(f"{key}={value}\n" for key, value in options.items())
            for kind, options in self.sections
        )


def cfg(net: Net, row: darknet.Config | yolo.Config, classes: int, size: tuple[int, int]) -> str:
    """The cfg text of a net."""
    writer, width = Cfg(size), 3
    if isinstance(row, darknet.Config):
        for steps in row.stages:
            width = add(writer, steps, width, classes, False)
        if row.classify_first:
            writer.conv(classes, 1, plain=True)
        writer.add("avgpool")
        if not row.classify_first:
            writer.conv(classes, 1, plain=True)
        return writer.text()
    widths = {}
    for stage in row.stages:
        if stage.reads:
            writer.add("route", layers=",".join(str(writer.ends[name]) for name in stage.reads))
            width = sum(widths[name] for name in stage.reads)
        width = add(writer, stage.steps, width, classes, row.softmax)
        boxes = isinstance(stage.steps[-1], Boxes)
        writer.ends[stage.name], widths[stage.name] = writer.last - boxes, width
    if row.cell_boxes:
        cells = net.head.dense.out_features // (classes + 5 * row.cell_boxes)
        writer.add("dropout", probability=0.5)
        writer.add("connected", output=net.head.dense.out_features, activation="linear")
        writer.add("detection", classes=classes, coords=4, side=int(cells**0.5), num=row.cell_boxes, sqrt=1)
    return writer.text()


def add(writer: Cfg, steps: tuple[Step, ...], width: int, classes: int, softmax: bool) -> int:
    """Adds the sections of `steps`; the channels that come out."""
    for step in steps:
        match step:
            case Conv(filters, size, stride):
                writer.conv(filters, size, stride)
                width = filters
            case Pool(size, stride):
                writer.add("maxpool", size=size, stride=stride)
            case Residual():
                writer.conv(width // 2, 1)
                writer.conv(width, 3)
                writer.add("shortcut", {"from": -3}, activation="linear")
            case Pyramid(kernels):
                start = writer.last
                for place, kernel in enumerate(kernels):
                    if place:
                        writer.add("route", layers=start)
                    writer.add("maxpool", size=kernel, stride=1)
                pools = [start + 1 + 2 * place for place in range(len(kernels))]
                writer.add("route", layers=",".join(map(str, [*pools, start])))
                width *= 1 + len(kernels)
            case Upsample():
                writer.add("upsample", stride=2)
            case Reorg():
                writer.add("reorg", stride=2)
                width *= 4
            case Local(filters, size):
                writer.add("local", filters=filters, size=size, stride=1, pad=1, activation="leaky")
                width = filters
            case Boxes(anchors):
                width = len(anchors) * (5 + classes)
                writer.conv(width, 1, plain=True)
                # Version 2 gives anchors in cells; version 3 lists all and masks its own.
                unit, kind, more = (32, "region", {"softmax": 1}) if softmax else (1, "yolo", {})
                if not softmax:
                    more = {"mask": ",".join(map(str, range(len(anchors))))}
                sides = ",".join(str(side / unit) for anchor in anchors for side in anchor)
                writer.add(kind, more, anchors=sides, classes=classes, coords=4, num=len(anchors))
    return width

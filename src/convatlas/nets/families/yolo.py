"""YOLO detects all objects of a photo in one pass: versions 1 (Redmon et al. 2016), 2 (2017) and 3 (2018).

The variants are the nets whose weights darknet publishes. Those of version 1 differ from the paper: they normalize, a
locally connected layer replaces the first dense one, and each cell of the larger net has three boxes, not two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convatlas.base.errors import SizeError
from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.label import Label
from convatlas.genes.layers import Dense
from convatlas.genes.structural import Concat
from convatlas.nets.darknet_steps import Boxes, Conv, Local, Pool, Pyramid, Reorg, Residual, Step, Upsample, stage
from convatlas.nets.families.darknet import DARKNET19, DARKNET53, depth_fractions
from convatlas.nets.net import Net

SIDE = 32
"""Height and width of photos are multiples of this number of pixels."""

EXTRACTION: tuple[tuple[Step, ...], ...] = (
    (Conv(64, 7, 2),),
    (Pool(), Conv(192)),
    (Pool(), Conv(128, 1), Conv(256), Conv(256, 1), Conv(512)),
    (Pool(), *[Conv(256, 1), Conv(512)] * 4, Conv(512, 1), Conv(1024)),
    (Pool(), *[Conv(512, 1), Conv(1024)] * 2, Conv(1024)),
    (Conv(1024, stride=2), Conv(1024), Conv(1024)),
)

"""The body of version 1; its name is darknet's."""

TINY: tuple[tuple[Step, ...], ...] = (
    (Conv(16),),
    (Pool(), Conv(32)),
    (Pool(), Conv(64)),
    (Pool(), Conv(128)),
    (Pool(), Conv(256)),
    (Pool(), Conv(512)),
)


@dataclass(frozen=True)
class Stage:
    """Steps that read the output of the previous stage, or those of the stages in `reads`, concatenated if several."""

    name: str
    steps: tuple[Step, ...]
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """Stages from the photo to the boxes, and how boxes are encoded.

    Attributes:
        stages: Stages in the order of darknet's weight files.
        cell_boxes: Boxes per cell in version 1, which has no anchors; 0 in the others.
        dropout: Rate before the dense layer of version 1.
        softmax: Whether a box has exactly one class (version 2) or any number of classes (version 3).
    """

    stages: tuple[Stage, ...]
    cell_boxes: int = 0
    dropout: float = 0.0
    softmax: bool = False


def _body(stages: tuple[tuple[Step, ...], ...], *more: tuple[Step, ...]) -> tuple[Stage, ...]:
    return tuple(Stage(f"stage{number}", steps) for number, steps in enumerate((*stages, *more), 1))


def _anchors_in_cells(*anchors: tuple[float, float]) -> Boxes:
    """Return the boxes for anchors in units of cells of 32 pixels, as version 2 gives them."""
    return Boxes(tuple((32 * width, 32 * height) for width, height in anchors))


def _five_convs(width: int) -> tuple[Step, ...]:
    return Conv(width, 1), Conv(2 * width), Conv(width, 1), Conv(2 * width), Conv(width, 1)


COCO = _anchors_in_cells(
    (0.57273, 0.677385), (1.87446, 2.06253), (3.33843, 5.47434), (7.88282, 3.52778), (9.77052, 9.16828)
)
VOC = _anchors_in_cells(
    (1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892), (9.47112, 4.84053), (11.2364, 10.0071)
)
TINY_VOC = _anchors_in_cells((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52))

LARGE = Boxes(((116, 90), (156, 198), (373, 326)), 32)
MEDIUM = Boxes(((30, 61), (62, 45), (59, 119)), 16)
SMALL = Boxes(((10, 13), (16, 30), (33, 23)), 8)
TINY_LARGE = Boxes(((81, 82), (135, 169), (344, 319)), 32)
TINY_MEDIUM = Boxes(((10, 14), (23, 27), (37, 58)), 16)


def _v2(boxes: Boxes) -> Config:
    stages = (
        *_body(DARKNET19),
        Stage("neck", (Conv(1024), Conv(1024))),
        Stage("passthrough", (Conv(64, 1), Reorg()), ("stage5",)),
        Stage("boxes", (Conv(1024), boxes), ("passthrough", "neck")),
    )
    return Config(stages, softmax=True)


def _v2_tiny(width: int, boxes: Boxes) -> Config:
    last = (Pool(2, 1), Conv(1024))
    return Config((*_body(TINY, last), Stage("boxes", (Conv(width), boxes))), softmax=True)


def _v3(*neck: Step) -> Config:
    stages = (
        *_body(DARKNET53),
        Stage("neck1", neck),
        Stage("boxes1", (Conv(1024), LARGE)),
        Stage("lateral2", (Conv(256, 1), Upsample()), ("neck1",)),
        Stage("neck2", _five_convs(256), ("lateral2", "stage5")),
        Stage("boxes2", (Conv(512), MEDIUM)),
        Stage("lateral3", (Conv(128, 1), Upsample()), ("neck2",)),
        Stage("neck3", _five_convs(128), ("lateral3", "stage4")),
        Stage("boxes3", (Conv(256), SMALL)),
    )
    return Config(stages)


V3_TINY = Config(
    (
        *_body(TINY, (Pool(2, 1), Conv(1024))),
        Stage("neck1", (Conv(256, 1),)),
        Stage("boxes1", (Conv(512), TINY_LARGE)),
        Stage("lateral2", (Conv(128, 1), Upsample()), ("neck1",)),
        Stage("boxes2", (Conv(256), TINY_MEDIUM), ("lateral2", "stage5")),
    )
)


class Rows(nn.Module):
    """Reshape maps of boxes (N, A_i (5 + classes), H_i, W_i) to one table (N, sum H_i W_i A_i, 5 + classes).

    Rows are sorted by map, then row and column of the cell, then anchor; columns are x, y, width, height, objectness
    and the classes, all without activation.
    """

    label = Label("boxes in rows", "flattening")
    keeps_grid = True

    def __init__(self, anchors: tuple[int, ...]):
        super().__init__()
        self.anchors = anchors

    def forward(self, *maps: Tensor) -> Tensor:
        tables = []
        for boxes, anchors in zip(maps, self.anchors, strict=True):
            images, channels, height, width = boxes.shape
            cells = boxes.reshape(images, anchors, channels // anchors, height, width).permute(0, 3, 4, 1, 2)
            tables.append(cells.flatten(1, 3))  # (N, H W A, 5 + classes)
        return torch.cat(tables, 1)  # (N, sum H W A, 5 + classes)


class YOLO(Net):
    """A body, stages that read it at one or several scales, and the boxes at each scale.

    Version 1 returns (N, S T (classes + 5 B)) for S x T cells of 64 pixels and B boxes per cell: the classes of each
    cell, then the objectness of each box, then its x, y and the roots of width and height. The others return the table
    of `Rows`.
    """

    variants = {
        "yolo_v1": Config((*_body(EXTRACTION), Stage("local", (Local(256),))), cell_boxes=3, dropout=0.5),
        "yolo_v1_tiny": Config(_body(TINY, (Pool(), Conv(1024), Conv(256))), cell_boxes=2),
        "yolo_v2": _v2(COCO),
        "yolo_v2_voc": _v2(VOC),
        "yolo_v2_tiny": _v2_tiny(512, COCO),
        "yolo_v2_tiny_voc": _v2_tiny(1024, TINY_VOC),
        "yolo_v3": _v3(*_five_convs(512)),
        "yolo_v3_spp": _v3(*_five_convs(512)[:3], Pyramid((13, 9, 5)), Conv(512, 1), Conv(1024), Conv(512, 1)),
        "yolo_v3_tiny": V3_TINY,
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        kinds = {type(step) for stage in config.stages for step in stage.steps}
        return Genome(
            alignment="symmetric",
            pooling="max" if kinds & {Pool, Pyramid} else None,
            flattening="flatten" if config.cell_boxes else None,
            normalization="batch_darknet",
            activation="leaky_darknet",
            skip="residual" if Residual in kinds else None,
            dropout=config.dropout if config.cell_boxes else None,
            stochastic_depth=0.0 if Residual in kinds else None,
        )

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        if size[0] % SIDE or size[1] % SIDE:
            raise SizeError(
                f"the sides of YOLO's photos must be multiples of {SIDE}, such as 416; got {size[0]} x {size[1]}"
            )
        self.config, self.classes = config, classes
        self.reads: dict[str, tuple[str, ...]] = {}
        self.grid = -(-size[0] // 64), -(-size[1] // 64)
        widths, width, heads = {"": channels}, channels, []
        depths = iter(depth_fractions(tuple(part.steps for part in config.stages)))
        for number, part in enumerate(config.stages):
            if part.reads:
                width = sum(widths[name] for name in part.reads)
            if len(part.reads) > 1:
                self.add_module(f"{part.name}_join", Concat())
                self.reads[f"{part.name}_join"] = part.reads
            elif part.reads:
                self.reads[part.name] = part.reads
            module, width = stage(
                genome, width, part.steps, classes=classes, grid=self.grid, depth_fractions=depths, fixed=number == 0
            )
            self.add_module(part.name, module)
            widths[part.name] = width
            heads += [part.name] if isinstance(part.steps[-1], Boxes) else []
        if config.cell_boxes:
            cells = self.grid[0] * self.grid[1]
            flatten, features = self.make_flatten(genome, width, channels, size)
            outputs = cells * (classes + 5 * config.cell_boxes)
            self.head = chain(flatten=flatten, drop=genome.drop(), dense=Dense(features, outputs))
        else:
            self.add_module("head", Rows(tuple(len(boxes.anchors) for boxes in self.priors)))
            self.reads["head"] = tuple(heads)

    def init_weights(self, module: nn.Module) -> None:
        """Draw the convolutions that give the boxes with variance 2 / fan-in, as darknet does, other modules as usual.

        With 2 / fan-out the few outputs would be large, and boxes, whose sides are powers of e, of any size.
        """
        super().init_weights(module)
        # All other convolutions are normalized, and have no bias.
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    @property
    def priors(self) -> list[Boxes]:
        """Steps `Boxes`, in the order of the rows that `forward` returns; none in version 1."""
        return [step for part in self.config.stages for step in part.steps if isinstance(step, Boxes)]

    def iter_stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Run the stages one by one, yielding name and output of each; maps that a later stage reads are kept."""
        later = {name for reads in self.reads.values() for name in reads}
        kept: dict[str, Tensor] = {}
        for name, module in self.named_children():
            x = module(*(kept[source] for source in self.reads[name])) if name in self.reads else module(x)
            if name in later:
                kept[name] = x
            yield name, x

"""Our rows as darknet's cfg text, for OpenCV to read."""

from __future__ import annotations

from convatlas.nets.darknet import Darknet
from convatlas.nets.darknet_steps import Boxes, Conv, Pool, Pyramid, Reorg, Residual, Step, Upsample
from convatlas.nets.net import Net
from convatlas.nets.yolo import YOLO


class Cfg:
    """The sections of a cfg file, and which of them ends each stage."""

    def __init__(self, size: tuple[int, int]):
        self.sections = [("net", {"batch": 1, "height": size[0], "width": size[1], "channels": 3})]
        self.ends: dict[str, int] = {}

    @property
    def last(self) -> int:
        return len(self.sections) - 2

    def add(self, kind: str, **options: object) -> None:
        self.sections.append((kind, options))

    def conv(self, filters: int, size: int, stride: int = 1, plain: bool = False) -> None:
        norm = {} if plain else {"batch_normalize": 1}
        activation = "linear" if plain else "leaky"
        self.add("convolutional", **norm, filters=filters, size=size, stride=stride, pad=1, activation=activation)

    def text(self) -> str:
        return "\n".join(
            f"[{kind}]\n" + "".join(f"{key}={value}\n" for key, value in options.items())
            for kind, options in self.sections
        )


def cfg(net: Net, size: tuple[int, int]) -> str:
    """The cfg text of a classifier, or of a detector of version 2 or 3."""
    made = Cfg(size)
    if isinstance(net, Darknet):
        row, classes = net.rows[net.card.name], net.head[-1]
        width = 32
        for steps in row.stages:
            width = add(made, steps, width, net)
        outputs = classes.out_features if hasattr(classes, "out_features") else net.head.conv.out_channels
        if row.classify_first:
            made.conv(outputs, 1, plain=True)
            made.add("avgpool")
        else:
            made.add("avgpool")
            made.conv(outputs, 1, plain=True)
        return made.text()
    assert isinstance(net, YOLO)
    width, widths = 3, {}
    for stage in net.row.stages:
        if stage.reads:
            made.add("route", layers=",".join(str(made.ends[name]) for name in stage.reads))
            width = sum(widths[name] for name in stage.reads)
        width = add(made, stage.steps, width, net)
        made.ends[stage.name], widths[stage.name] = made.last, width
    return made.text()


def add(made: Cfg, steps: tuple[Step, ...], width: int, net: Net) -> int:
    for step in steps:
        match step:
            case Conv(filters, size, stride):
                made.conv(filters, size, stride)
                width = filters
            case Pool(size, stride):
                made.add("maxpool", size=size, stride=stride)
            case Residual():
                made.conv(width // 2, 1)
                made.conv(width, 3)
                made.add("shortcut", **{"from": -3, "activation": "linear"})
            case Pyramid(kernels):
                start = made.last
                for place, kernel in enumerate(kernels):
                    if place:
                        made.add("route", layers=start)
                    made.add("maxpool", size=kernel, stride=1)
                pools = [start + 1 + 2 * place for place in range(len(kernels))]
                made.add("route", layers=",".join(map(str, [*pools, start])))
                width *= 1 + len(kernels)
            case Upsample():
                made.add("upsample", stride=2)
            case Reorg():
                made.add("reorg", stride=2)
                width *= 4
            case Boxes(anchors):
                width = len(anchors) * (5 + net.classes)
                made.conv(width, 1, plain=True)
                boxes(made, step, net)
    return width


def boxes(made: Cfg, step: Boxes, net: YOLO) -> None:
    """Darknet lists all anchors of version 3 with each head, and says which are its own."""
    count = len(step.anchors)
    if net.row.softmax:
        cells = ",".join(f"{side / 32}" for anchor in step.anchors for side in anchor)
        made.add("region", anchors=cells, classes=net.classes, coords=4, num=count, softmax=1, thresh=0.0)
        return
    mask = ",".join(map(str, range(count)))
    pixels = ",".join(str(side) for anchor in step.anchors for side in anchor)
    made.add("yolo", mask=mask, anchors=pixels, classes=net.classes, num=count)

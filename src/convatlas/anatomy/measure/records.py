"""Records of a measured net and its layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from convatlas.base.records import Record
from convatlas.base.tables import Column, Table, plain

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One operation of a net.

    Attributes:
        number: From 1, in the order of execution.
        name: The path of the module that runs it.
        kind: What it is: "convolution", "batch normalization", "ReLU", ...
        locus: Which gene it expresses: "convolution", "normalization", "activation", ...
        kernel: Height and width of its window; None if it has none. So for stride and padding (top and left).
        stride: Step of the window.
        padding: What the border adds before (top, left).
        dilation: Step between the pixels of the window.
        groups: Of a convolution: in how many the channels are kept apart.
        setting: What else its function depends on: the slope of a leaky ReLU, a rate of dropout; "" if nothing.
        output: Shape of what it gives, without the batch.
        parameters: All of them (running statistics too). A layer that runs twice owns them the first time.
        trainable: Those that training changes: the review's "refinable" ones.
        macs: Multiply-accumulates an image.
        connections: Links into its units for an image, those of biases among them, as LeCun et al. 1990 count: a
            weight that is shared counts at each place. 0 for what has no weights.
        units: The units that these links lead to.
        memory: Bytes of its output, one image.
        field: Height and width of its receptive field in pixels of the photo; None where it sees the whole photo.
        field_stride: Pixels between the fields of neighbouring positions, a fraction where a map is larger than the
            photo; None where no grid remains.
        sees_all: Whether some path from the whole photo reaches it (a gate from a global pooling, say).
        inputs: Numbers of the layers that feed it; 0 is the photo.
    """

    number: int
    name: str
    kind: str
    locus: str
    kernel: tuple[int, int] | None
    stride: tuple[int, int] | None
    padding: tuple[int, int] | None
    dilation: tuple[int, int] | None
    groups: int | None
    setting: str
    output: Shape
    parameters: int
    trainable: int
    macs: int
    connections: int
    units: int
    memory: int
    field: tuple[int, int] | None
    field_stride: tuple[float, float] | None
    sees_all: bool
    inputs: tuple[int, ...]


COLUMNS = (
    Column("number", "#"),
    Column("name", "layer"),
    Column("kind", "kind"),
    Column("kernel", "kernel"),
    Column("stride", "stride"),
    Column("padding", "padding"),
    Column("output", "output"),
    Column("parameters", "parameters"),
    Column("trainable", "trainable"),
    Column("macs", "MACs"),
    Column("memory", "bytes"),
    Column("field", "field", lambda value: "whole" if value is None else plain(value)),
    Column("field_stride", "its stride"),
    Column("inputs", "fed by", lambda value: ", ".join(str(number) for number in value)),
)

STAGE_COLUMNS = (
    Column("stage", "stage"),
    Column("layers", "layers"),
    *(
        column
        for column in COLUMNS
        if column.key in ("output", "parameters", "macs", "memory", "field", "field_stride")
    ),
)


@dataclass(frozen=True)
class Measurement(Record):
    """Measured figures of a net.

    Attributes:
        name: The net's name in the atlas, or its class.
        input: Shape of the photo, (C, H, W).
        output: Shape of the answer.
        layers: Every operation, in order.
        parameters: Trainable parameters and running statistics, as Keras counts.
        trainable: Trainable parameters: the review's "refinable" ones.
        depth: Layers that own weights, as Keras' table counts.
        path: Convolutions and dense layers on the longest way from the photo to the answer, gates not counted: the
            review's number of layers, with projections left aside. A dense layer of fixed weights counts, subsampling
            does not.
        macs: Multiply-accumulates an image: what papers call FLOPs.
        memory: Bytes of all layers' outputs, one image: what training has to keep.
        activation: The transfer function that occurs most, "-" if there is none.
        weighted: For each layer that owns weights, how many arrays it has.
        aside: Parts of the net that the answer does not need, with the parameters that no layer has: a decoder, the
            heads that only help training.
    """

    name: str
    input: Shape
    output: Shape
    layers: tuple[Layer, ...]
    parameters: int
    trainable: int
    depth: int
    path: int
    macs: int
    memory: int
    activation: str
    weighted: tuple[int, ...]
    aside: tuple[tuple[str, int], ...] = ()

    @property
    def connections(self) -> int:
        """Links between units, biases and fixed weights among them."""
        return sum(layer.connections for layer in self.layers)

    @property
    def units(self) -> int:
        """Pixels, units of all layers with weights, and the constant 1 on which biases hang."""
        return prod(self.input) + sum(layer.units for layer in self.layers) + 1

    @property
    def receptive_field(self) -> tuple[int, int] | None:
        """The largest field of a layer that still has a grid: of the last map before the flattening."""
        sides = [layer.field for layer in self.layers if layer.field_stride is not None]
        return sides[-1] if sides else None

    def row(self) -> dict[str, Any]:
        """The net in one row: totals, and the review's own columns."""
        return {
            "name": self.name,
            "input": (self.input[1], self.input[2], self.input[0]) if len(self.input) == 3 else self.input,
            "output": self.output[0] if len(self.output) == 1 else self.output,
            "path": self.path,
            "depth": self.depth,
            "parameters": self.parameters,
            "trainable": self.trainable,
            "macs": self.macs,
            "memory": self.memory,
            "activation": self.activation,
        }

    def table(self) -> Table:
        """One row a layer."""
        rows = [{column.key: getattr(layer, column.key) for column in COLUMNS} for layer in self.layers]
        return Table(COLUMNS, rows, title=f"{self.name}: {len(rows)} layers", notes=(str(self),))

    def stages(self) -> Table:
        """One row a stage: the layers that share the first part of their name."""
        rows: dict[str, dict[str, Any]] = {}
        for layer in self.layers:
            row = rows.setdefault(
                layer.name.split(".")[0],
                {"stage": layer.name.split(".")[0], "layers": 0, "parameters": 0, "macs": 0, "memory": 0},
            )
            row["layers"] += 1
            for total in ("parameters", "macs", "memory"):
                row[total] += getattr(layer, total)
            row |= {"output": layer.output, "field": layer.field, "field_stride": layer.field_stride}
        return Table(STAGE_COLUMNS, list(rows.values()), title=f"{self.name}: stages")

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.parameters:,} parameters ({self.trainable:,} trainable), depth {self.depth}, "
            f"{self.path} layers on the longest path, {_macs(self.macs)}, "
            f"{_bytes(self.memory)} of activations for {plain(self.input)}"
        )


def _macs(number: int) -> str:
    return f"{number / 1e9:.3f} GMACs" if number >= 1e8 else f"{number / 1e6:.3f} MMACs"


def _bytes(number: int) -> str:
    return f"{number / 2**20:.1f} MiB" if number >= 2**20 else f"{number / 2**10:.1f} KiB"


def most_common_activation(layers: tuple[Layer, ...], within: Iterable[str] = ()) -> str:
    """The activation that occurs most, gates aside, those `within` layers too; the first if there is a draw."""
    counts = Counter(layer.kind for layer in layers if layer.locus == "activation" and ".gate." not in layer.name)
    counts.update(within)
    return counts.most_common(1)[0][0] if counts else "-"

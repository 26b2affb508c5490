"""Records of a measured net and of its layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from convatlas.base.records import TableRecord
from convatlas.base.tables import Column, Table, plain
from convatlas.base.terminal.brief import Brief

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer(Brief):
    """One operation of a net.

    Attributes:
        number: Number in the order of execution, from 1.
        name: Path of the module that runs it.
        kind: Kind of operation: "convolution", "batch normalization", "ReLU", ...
        locus: Locus of the gene that decides it: "convolution", "normalization", "activation", ...
        kernel: Height and width of its window; None if it has no window.
        stride: Step of the window, (rows, columns); None if it has no window.
        padding: Size of the border (top, left); None if it has no window and adds no border.
        dilation: Distance between the pixels of the window, (rows, columns); None if it has no window.
        groups: Groups of a convolution; None for any other operation.
        setting: Other hyperparameters, such as the slope of a leaky ReLU or the rate of a dropout; "" if there are
            none.
        output: Shape of its output, without the batch.
        parameters: Number of parameters, running statistics included. They count for the first of the layers that use
            them.
        trainable: Number of trainable parameters: the review's "refinable" ones.
        macs: Multiply-accumulate operations for one photo.
        connections: Connections into its units for one photo, biases included, as LeCun et al. 1990 count them: a
            shared weight counts at each place. 0 for an operation without weights.
        units: Number of units that these connections lead to.
        memory: Bytes of its outputs for one photo.
        field: Height and width of its receptive field in pixels of the photo; None where it sees the whole photo, and
            where it is not known: in tokens and windows that were cut out of a map, and for other inputs than photos.
        field_stride: Pixels between the fields of neighbouring positions, (rows, columns), below 1 where a map is
            larger than the photo; None where no grid remains.
        sees_all: Whether the whole photo is known to reach it on some path, such as a gate computed by global pooling.
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
    Column("field", "field", lambda value: value if isinstance(value, str) else plain(value)),
    Column("field_stride", "its stride"),
    Column("inputs", "fed by", lambda value: ", ".join(str(number) for number in value) or "weights alone"),
)

MAX_NAMES = 4
"""Largest number of names that a sentence lists."""

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
class Measurement(TableRecord):
    """Measured figures of a net.

    Attributes:
        name: Name of the net in the atlas, or its class.
        input: Shape of the input without the batch, (C, H, W) for photos.
        output: Shape of the first output, without the batch.
        layers: All operations, in the order of execution.
        parameters: Number of parameters, running statistics included, as Keras counts them.
        trainable: Number of trainable parameters: the review's "refinable" ones.
        depth: Number of layers that own weights, as in Keras' table.
        path: Number of convolutions and dense layers on the longest path from the photo to the output, without those
            that only compute a gate: the review's number of layers. Dense layers with fixed weights count, subsampling
            does not.
        macs: Multiply-accumulate operations for one photo: what papers call FLOPs.
        memory: Bytes of the outputs of all layers for one photo: what training has to keep.
        activation: Most frequent activation; "-" if there is none.
        weighted: Number of arrays of each layer that owns weights.
        unused: Parts of the net that no layer uses, with their number of parameters, such as a decoder or auxiliary
            heads.
        constants: Layers that read no photo: they compute from weights alone, for example a bias of relative positions.
            They run for each photo, and their MACs count. Nothing feeds them, and their field is (0, 0).
        uncounted: Names of the layers that own a matrix or kernel but whose MACs are unknown; they count as 0.
        left_torch: Names of the layers, or "input", whose values left PyTorch: what was computed from them outside of
            it, or decided by them, is not in this record.
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
    unused: tuple[tuple[str, int], ...] = ()
    constants: tuple[Layer, ...] = ()
    uncounted: tuple[str, ...] = ()
    left_torch: tuple[str, ...] = ()

    @property
    def connections(self) -> int:
        """Number of connections between units, those of biases and fixed weights included."""
        return sum(layer.connections for layer in self.layers)

    @property
    def units(self) -> int:
        """Number of units: pixels, units of all layers with weights, and the constant 1 that feeds biases."""
        return prod(self.input) + sum(layer.units for layer in self.layers) + 1

    @property
    def receptive_field(self) -> tuple[int, int] | None:
        """Field (height, width) of the last layer that still has a grid, before the flattening; None without one."""
        sides = [layer.field for layer in self.layers if layer.field_stride is not None]
        return sides[-1] if sides else None

    def row(self) -> dict[str, Any]:
        """Totals of the net, by column of the review's tables."""
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
        """Table with one row for each layer."""
        layers = (*self.layers, *self.constants)
        rows = [
            {column.key: getattr(layer, column.key) for column in COLUMNS} | {"field": _field(layer)}
            for layer in layers
        ]
        return Table(COLUMNS, rows, title=f"{self.name}: {len(rows)} layers", notes=(str(self),))

    def stages(self) -> Table:
        """Table with one row for each stage: the layers that share the first part of their name."""
        rows: dict[str, dict[str, Any]] = {}
        for layer in (*self.layers, *self.constants):
            stage = layer.name.split(".")[0]
            end = {"output": layer.output, "field": _field(layer), "field_stride": layer.field_stride}
            row = rows.setdefault(stage, {"stage": stage, "layers": 0, "parameters": 0, "macs": 0, "memory": 0, **end})
            row["layers"] += 1
            for total in ("parameters", "macs", "memory"):
                row[total] += getattr(layer, total)
            if layer.inputs:
                row |= end
        return Table(STAGE_COLUMNS, list(rows.values()), title=f"{self.name}: stages")

    def __str__(self) -> str:
        notes = f"; MACs without those of {_listed(self.uncounted)}" if self.uncounted else ""
        notes += (
            f"; not traced: what was computed outside PyTorch from {_listed(self.left_torch)}"
            if self.left_torch
            else ""
        )
        return (
            f"{self.name}: {self.parameters:,} parameters ({self.trainable:,} trainable), depth {self.depth}, "
            f"{self.path} layers on the longest path, {_macs(self.macs)}, "
            f"{_bytes(self.memory)} of activations for {plain(self.input)}{notes}"
        )


def _field(layer: Layer) -> tuple[int, int] | str | None:
    """Receptive field of a layer; "whole" for the whole photo, None if it is not known."""
    return "whole" if layer.field is None and layer.sees_all else layer.field


def _listed(names: tuple[str, ...]) -> str:
    rest = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + rest


def _macs(number: int) -> str:
    return f"{number / 1e9:.3f} GMACs" if number >= 1e8 else f"{number / 1e6:.3f} MMACs"


def _bytes(number: int) -> str:
    return f"{number / 2**20:.1f} MiB" if number >= 2**20 else f"{number / 2**10:.1f} KiB"


def most_common_activation(layers: Iterable[Layer], within: Iterable[str] = ()) -> str:
    """Most frequent activation of layers, and of those `within` layers; of equals the first; "-" if there is none."""
    counts = Counter(layer.kind for layer in layers if layer.locus == "activation")
    counts.update(within)
    return counts.most_common(1)[0][0] if counts else "-"

"""The capsules of a net: the class capsules, their children, and how the children lie on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.genes.matrix_capsules import POSE
from convatlas.genes.routing import DynamicRouting
from convatlas.nets.families.capsnet import CapsNet
from convatlas.nets.families.matrix_capsnet import MatrixCapsNet
from convatlas.nets.net import Net
from convatlas.probes.layers import LAST
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tape import Tape

MATRIX_LAYERS = ("primary", "conv_capsules1", "conv_capsules2")
"""Layers of matrix capsules below the class capsules."""


@dataclass(frozen=True)
class Children:
    """Capsules of one photo that lie on a grid.

    Attributes:
        layer: Name of the layer whose grid it is.
        index: Index of their tensor on the tape.
        values: The capsules, (types, h, w, size); the last number of a matrix capsule is its activation.
        matrices: Whether they are matrix capsules.
    """

    layer: str
    index: int
    values: Tensor
    matrices: bool

    @property
    def grid(self) -> tuple[int, int, int]:
        """Types of capsules, and height and width of the grid."""
        types, height, width, _ = self.values.shape
        return types, height, width

    def packed(self, capsules: Tensor) -> Tensor:
        """Capsules (n, types, h, w, size), or anything of this shape, as the net's own tensor: (n, …)."""
        return capsules.movedim(4, 2) if self.matrices else capsules.flatten(1, 3)

    def unpacked(self, tensor: Tensor) -> Tensor:
        """The net's own tensor (1, …) as (types, h, w, size)."""
        return _unpacked(tensor, self.grid, self.matrices)

    @property
    def lengths(self) -> Tensor:
        """How present each capsule is, (types, h, w): its length, or the activation of a matrix capsule."""
        return self.values[..., POSE] if self.matrices else self.values.norm(dim=-1)


def needs_capsules(net: nn.Module, probe: str, instead: str) -> str | None:
    """Say what keeps a probe of capsules from a net, and which probe to use instead; None if nothing keeps it."""
    if isinstance(net, (CapsNet, MatrixCapsNet)):
        return None
    return f"{probe} explains nets of capsules, such as capsnet; {_name(net)} has none: use {instead}"


def needs_capsnet(net: nn.Module, probe: str, instead: str) -> str | None:
    """Say what keeps a probe of class capsules that are vectors from a net; None if nothing keeps it."""
    if isinstance(net, CapsNet):
        return None
    return f"{probe} explains capsnet, whose class capsules are vectors; {_name(net)} has none: use {instead}"


def needs_agreement(net: nn.Module, probe: str, instead: str) -> str | None:
    """Say what keeps a probe of routing by agreement from a net; None if nothing keeps it."""
    if not isinstance(net, CapsNet) or isinstance(net.poses.routing, DynamicRouting):
        return needs_capsnet(net, probe, "routing_maps" if isinstance(net, MatrixCapsNet) else instead)
    return f"{probe} needs routing by agreement, not {net.genome.routing}: use routing_maps or capsule_ablation"


def needs_decoder(net: nn.Module, probe: str) -> str | None:
    """Say what keeps a probe of reconstructions from a net; None if nothing keeps it."""
    if not isinstance(net, CapsNet) or hasattr(net, "reconstruction"):
        return needs_capsnet(net, probe, "feature_inversion")
    return f"{probe} needs a net that reconstructs photos; this one has the gene decoder=none: use feature_inversion"


def class_of(subject: Subject, target: int, probe: str) -> int:
    """The class whose capsule a target is the length of.

    Raises:
        ConvAtlasError: It is another score.
    """
    index = subject.targets[target].index
    if index is None or not subject.targets[target].plain:
        raise ConvAtlasError(f"{probe} explains the capsule of a class: pass a class as target")
    return index


def children_of(subject: Subject, tape: Tape) -> Children:
    """The capsules at the chosen layer of a tape; by default the children of the class capsules.

    Raises:
        UnknownName: The net has no such layer of capsules.
    """
    layer, matrices = subject.layer, isinstance(subject.net, MatrixCapsNet)
    layers = MATRIX_LAYERS if matrices else ("primary",)
    name = layers[-1] if layer in (None, LAST) else str(layer).removesuffix(".conv")
    if name not in layers:
        raise unknown("layer of capsules", layer, layers)
    index = tape.layers[name][-1]
    tensor = tape.values[index]
    if matrices:
        _, types, _, height, width = tensor.shape
        grid = types, height, width
    else:
        # The last maps of the stage, whichever genes made them.
        height, width = maps_of(tape, name).shape[2:]
        grid = tensor.shape[1] // (height * width), height, width
    shown = f"{name}.conv" if f"{name}.conv" in tape.layers else name
    return Children(shown, index, _unpacked(tensor, grid, matrices), matrices)


def maps_of(tape: Tape, stage: str) -> Tensor:
    """The last maps (1, K, h, w) of a stage, before they become capsules."""
    indices = [each[-1] for name, each in tape.layers.items() if name.startswith(f"{stage}.")]
    return tape.values[max(index for index in indices if tape.values[index].ndim == 4)]


def rounds(net: nn.Module, tape: Tape) -> tuple[list[Any], Tensor]:
    """The rounds of routing to the class capsules for the photo of a tape, and the votes of their children."""
    with torch.no_grad():
        if isinstance(net, MatrixCapsNet):
            capsules, children = net.class_capsules, tape.values[tape.layers[MATRIX_LAYERS[-1]][-1]]
            votes = capsules.votes(children)
            return capsules.routing.trace(votes, children), votes
        assert isinstance(net, CapsNet)
        children = tape.values[tape.layers["primary"][-1]]
        votes, length = net.poses.votes(children), net.poses.length
        routing: Any = net.poses.routing
        return routing.trace(votes) if length is None else routing.trace(votes, length(children)), votes


def _unpacked(tensor: Tensor, grid: tuple[int, int, int], matrices: bool) -> Tensor:
    return tensor[0].movedim(1, 3) if matrices else tensor[0].reshape(*grid, -1)


def _name(net: nn.Module) -> str:
    return net.card.name if isinstance(net, Net) else type(net).__name__

"""A net in an engine, with the interface of the net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.base.records import Record
from convatlas.base.untouched import evaluating
from convatlas.engines.agreement import Agreement
from convatlas.engines.options import Options
from convatlas.engines.session import Float32Array, Session
from convatlas.nets.net import Net

if TYPE_CHECKING:
    from convatlas.catalogue.cards import Card
    from convatlas.weights.lineage import Lineage

Inputs = TypeVar("Inputs", Tensor, Float32Array)


@dataclass(frozen=True)
class Acceleration(Record):
    """The engine that runs a net, and why.

    Attributes:
        net: The card's name; the class of a net of the user.
        weights: The lineage; empty for random weights or a net of the user.
        shape: (C, H, W) of an input.
        batch: Photos in a call for which the engine was chosen.
        options: The engine and its options.
        milliseconds: Median time of a call with `batch` photos, by the options that were tried.
        error: Largest difference from eager's outputs, in units of their standard deviation.
        bound: Largest error that is allowed; None for less than float32.
        top1: Share of the photos where float32 is sure on which less than float32 has the same first answer; None in
            float32, and for nets whose outputs are not classes.
        sure: Number of those photos.
        refused: Why other engines are not used, by engine and precision.
        cpu: Name of the CPU.
    """

    net: str
    weights: str
    shape: tuple[int, ...]
    batch: int
    options: Options
    milliseconds: Mapping[str, float]
    error: float
    bound: float | None
    top1: float | None
    sure: int | None
    refused: Mapping[str, str]
    cpu: str

    def __str__(self) -> str:
        time = self.milliseconds.get(str(self.options))
        text = f"{self.net}: {self.options}" + ("" if time is None else f", {time / self.batch:.2f} ms a photo")
        if self.top1 is not None:
            text += f", {Agreement(self.sure or 0, self.top1)} with float32's first answer"
        return text + "".join(f"; not {name}: {reason}" for name, reason in self.refused.items())


class AcceleratedNet:
    """A callable with the net's own interface: (N, C, H, W) -> the net's outputs.

    Arrays give arrays, tensors give tensors on the CPU, without gradients. Threads may share it; another process
    has to accelerate `net` again.

    Attributes:
        net: The original net; later changes to it do not change the answers.
        record: The engine that runs it, and why.
    """

    def __init__(self, net: nn.Module, session: Session, record: Acceleration):
        self.net, self.session, self.record = net, session, record

    def __call__(self, x: Inputs) -> Inputs:
        """Run the net.

        Raises:
            SizeError: The inputs are not (N, C, H, W) as in `record.shape`, or N is 0.
            ConvAtlasError: They are not a tensor or an array of real numbers.
        """
        real = not x.is_complex() if isinstance(x, Tensor) else isinstance(x, np.ndarray) and x.dtype.kind in "fiub"
        if not real:
            kind = getattr(x, "dtype", type(x).__name__)
            raise ConvAtlasError(f"an engine takes a tensor or an array of real numbers, not {kind}")
        shape = self.record.shape
        if x.ndim != len(shape) + 1 or tuple(x.shape[1:]) != shape or len(x) < 1:
            raise SizeError(f"this engine takes (N, {', '.join(map(str, shape))}), N from 1; got {tuple(x.shape)}")
        if isinstance(x, Tensor):
            return torch.from_numpy(self.session(np.ascontiguousarray(x.detach().cpu().float().numpy())))
        # PyTorch only wraps writable arrays, so that others (a mapped file) are copied.
        return self.session(np.require(x, np.float32, ("C", "W")))

    @property
    def card(self) -> Card:
        """The net's card."""
        return self._atlas_net.card

    @property
    def lineage(self) -> Lineage | None:
        """Lineage of the weights; None for random ones."""
        lineage: Lineage | None = self._atlas_net.lineage
        return lineage

    @property
    def classes(self) -> int:
        """Number of outputs; 0 for an embedding."""
        return self._atlas_net.classes

    @property
    def channels(self) -> int:
        """Channels of an input."""
        return self.record.shape[0]

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width of an input."""
        return self.record.shape[1:]

    def preprocess(self, photo: Any) -> Tensor:
        """The input (C, h, w), float32, for a photo, as `Net.preprocess`."""
        return self._atlas_net.preprocess(photo)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs of all stages by the stage's name; computed in eager mode, since engines give the last one only."""
        with evaluating(self.net), torch.inference_mode():
            return self._atlas_net.features(x)

    @property
    def _atlas_net(self) -> Net:
        if not isinstance(self.net, Net):
            raise ConvAtlasError(f"{type(self.net).__name__} is a net of your own, which has no card and no lineage")
        return self.net

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled.

        Raises:
            ConvAtlasError: Always; says what to do instead.
        """
        raise ConvAtlasError("an engine cannot be copied or pickled: pass its .net on, and accelerate that there")

    def __repr__(self) -> str:
        return f"AcceleratedNet({self.record})"

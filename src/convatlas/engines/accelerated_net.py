"""A net in an engine, to be used in the net's place."""

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
from convatlas.engines.agreement import Share
from convatlas.engines.backends.session import Photos, Session
from convatlas.engines.options import Setting
from convatlas.nets.net import Net

if TYPE_CHECKING:
    from convatlas.catalogue.cards import Card
    from convatlas.weights.lineage import Lineage

Given = TypeVar("Given", Tensor, Photos)


@dataclass(frozen=True)
class Acceleration(Record):
    """Which engine runs a net, and why.

    Attributes:
        net: The card's name; for a net of the user's own its class.
        weights: The lineage; empty for random weights or a net of the user's own.
        shape: (C, H, W) of an input.
        batch: Photos at a time that it was chosen for.
        setting: The engine and how it runs.
        milliseconds: Median time of one call with `batch` photos, by setting; of those that were tried.
        error: The largest difference to eager's outputs, in units of their standard deviation.
        bound: What is allowed; None for less than float32.
        top1: Share of the photos where float32 is sure on which less than float32 has its first answer; None in
            float32, and of nets whose outputs are no answers to which class it is.
        sure: How many those photos are.
        refused: Why others are not used, by engine and precision.
        cpu: On which CPU.
    """

    net: str
    weights: str
    shape: tuple[int, ...]
    batch: int
    setting: Setting
    milliseconds: Mapping[str, float]
    error: float
    bound: float | None
    top1: float | None
    sure: int | None
    refused: Mapping[str, str]
    cpu: str

    def __str__(self) -> str:
        taken = self.milliseconds.get(str(self.setting))
        told = f"{self.net}: {self.setting}" + ("" if taken is None else f", {taken / self.batch:.2f} ms a photo")
        agreed = "" if self.top1 is None else f", {Share(self.sure or 0, self.top1)} with float32's first answer"
        return told + agreed + "".join(f"; not {name}: {why}" for name, why in self.refused.items())


class Accelerated:
    """A callable with the net's own interface; (N, C, H, W) -> what the net puts out, tensor for tensor.

    Arrays are answered with arrays, tensors with tensors on the CPU; no gradients. Threads may share it; for other
    processes it is made anew there.

    Attributes:
        net: The net itself, as it was given; what is done to it later does not change the answers.
        record: Which engine runs it, and why.
    """

    def __init__(self, net: nn.Module, session: Session, record: Acceleration):
        self.net, self.session, self.record = net, session, record

    def __call__(self, x: Given) -> Given:
        """What the net answers.

        Raises:
            SizeError: The inputs are not (N, C, H, W) as `record.shape` says, or there are none.
            ConvAtlasError: They are no tensor or array of real numbers.
        """
        real = not x.is_complex() if isinstance(x, Tensor) else isinstance(x, np.ndarray) and x.dtype.kind in "fiub"
        if not real:
            told = getattr(x, "dtype", type(x).__name__)
            raise ConvAtlasError(f"an engine takes a tensor or an array of real numbers, not {told}")
        shape = self.record.shape
        if x.ndim != len(shape) + 1 or tuple(x.shape[1:]) != shape or len(x) < 1:
            raise SizeError(f"this engine takes (N, {', '.join(map(str, shape))}), N from 1; got {tuple(x.shape)}")
        if isinstance(x, Tensor):
            return torch.from_numpy(self.session(np.ascontiguousarray(x.detach().cpu().float().numpy())))
        # Writable, as PyTorch wants what it takes over: others (a file that is mapped) are copied.
        return self.session(np.require(x, np.float32, ("C", "W")))

    @property
    def card(self) -> Card:
        """What is published of the net."""
        return self._ours.card

    @property
    def lineage(self) -> Lineage | None:
        """Where its weights come from; None for random ones."""
        found: Lineage | None = self._ours.lineage
        return found

    @property
    def classes(self) -> int:
        """How many outputs it has; 0 for an embedding."""
        return self._ours.classes

    @property
    def channels(self) -> int:
        """Of its input."""
        return self.record.shape[0]

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width of its photos."""
        return self.record.shape[1:]

    def preprocess(self, photo: Any) -> Tensor:
        """As the net's: its input (C, h, w), float32, for a photo."""
        return self._ours.preprocess(photo)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Every stage's output by the stage's name; from the net in eager mode, for engines give only the last one."""
        with evaluating(self.net), torch.inference_mode():
            return self._ours.features(x)

    @property
    def _ours(self) -> Net:
        if not isinstance(self.net, Net):
            raise ConvAtlasError(f"{type(self.net).__name__} is a net of your own, which has no card and no lineage")
        return self.net

    def __reduce__(self) -> NoReturn:
        """Engines cannot be copied or pickled.

        Raises:
            ConvAtlasError: Always; says what to do.
        """
        raise ConvAtlasError("an engine cannot be copied or pickled: hand on its .net, and accelerate that there")

    def __repr__(self) -> str:
        return f"Accelerated({self.record})"

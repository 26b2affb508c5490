"""A net that runs in an engine, with the interface of the net itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.base.records import Record
from convatlas.base.terminal.brief import shorten
from convatlas.base.untouched import evaluating
from convatlas.engines.agreement import Agreement
from convatlas.engines.options import Options
from convatlas.engines.search.stopwatch import AGREED
from convatlas.engines.session import Float32Array, Session
from convatlas.nets.net import Net, check_prepared_channels
from convatlas.weights.user_weights import lineage_of

if TYPE_CHECKING:
    from convatlas.catalogue.cards import Card
    from convatlas.weights.lineage import Lineage

FLOAT32 = "float32"

Inputs = TypeVar("Inputs", Tensor, Float32Array)


@dataclass(frozen=True)
class Acceleration(Record):
    """The engine that runs a net, and why it was chosen.

    Attributes:
        net: The card's name; of a net of the user its name, file or class.
        weights: Name of the lineage; empty for random weights or a net of the user.
        shape: (C, H, W) of an input, or another shape without the batch.
        dtype: Type of its numbers: "float32", or that of whole numbers.
        batch: Number of photos in a call for which the engine was chosen.
        options: The engine and its options.
        milliseconds: Time of a call with `batch` photos, for all options that were timed: the lowest decile, which
            other programs on the machine disturb least.
        error: Largest difference from eager's outputs, in units of their standard deviation.
        bound: Largest error allowed; None for reduced precisions.
        top1: Share of photos with float32's top-1 class, among those where float32 is sure; None in float32,
            and for nets whose outputs are not classes.
        sure: Number of photos where float32 is sure.
        refused: Why other engines were not chosen, by engine and precision.
        cpu: Name of the CPU.
        rivals: The next best options, with which the choice is compared again when the engine next starts.
        wins: Share of the latest rounds in which the choice was faster than the first rival; None without rounds.
        settled: Whether a later start has confirmed the choice, or there is no rival.
    """

    net: str
    weights: str
    shape: tuple[int, ...]
    dtype: str
    batch: int
    options: Options
    milliseconds: Mapping[str, float]
    error: float
    bound: float | None
    top1: float | None
    sure: int | None
    refused: Mapping[str, str]
    cpu: str
    rivals: tuple[Options, ...]
    wins: float | None
    settled: bool

    def __str__(self) -> str:
        text = f"{self.net}: {self.options}{self._time}"
        if self.top1 is not None:
            text += f", {Agreement(self.sure or 0, self.top1)} with float32's top-1 class"
        if self.wins is not None and self.wins < AGREED:
            text += f"; the rounds disagree: it was faster than {self.rivals[0]} in {100 * self.wins:.0f} % of them"
        return text + "".join(f"; not {name}: {reason}" for name, reason in self.refused.items())

    @property
    def _time(self) -> str:
        """The time of the chosen options in words; "" if they were not timed."""
        time = self.milliseconds.get(str(self.options))
        return "" if time is None else f", {time / self.batch:.2f} ms a photo"

    @property
    def brief(self) -> str:
        """Engine of the net, and its speed, in one line without reasons."""
        return f"{shorten(self.net, 80)}: {self.options}{self._time}"


class AcceleratedNet:
    """Callable like the net: (N, C, H, W) -> the net's outputs.

    It takes arrays and returns arrays, or takes tensors and returns tensors on the CPU, without gradients. Threads may
    share it; another process has to accelerate `net` again.

    Attributes:
        net: The original net; later changes to it do not affect the engine.
        record: The engine that runs it, and why it was chosen.
    """

    def __init__(self, net: nn.Module, session: Session, record: Acceleration):
        self.net, self.session, self.record = net, session, record

    def __call__(self, x: Inputs) -> Inputs:
        """Run the net.

        Raises:
            SizeError: The inputs are not (N, C, H, W) as in `record.shape`, or N is 0.
            ConvAtlasError: They are not a tensor or an array of real numbers, or of whole ones for a net of tokens.
        """
        whole = self.record.dtype != FLOAT32
        kinds = "iub" if whole else "fiub"
        if isinstance(x, Tensor):
            allowed = not x.is_complex() and not (whole and x.is_floating_point())
        else:
            allowed = isinstance(x, np.ndarray) and x.dtype.kind in kinds
        if not allowed:
            kind = getattr(x, "dtype", type(x).__name__)
            numbers = "whole" if whole else "real"
            raise ConvAtlasError(f"this engine takes a tensor or an array of {numbers} numbers, not {kind}")
        shape = self.record.shape
        if x.ndim != len(shape) + 1 or tuple(x.shape[1:]) != shape or len(x) < 1:
            raise SizeError(f"this engine takes {_batch_of(shape)}, N from 1; got {tuple(x.shape)}")
        dtype = np.dtype(self.record.dtype)
        if isinstance(x, Tensor):
            values = x.detach().cpu()
            plain = (values if whole else values.float()).numpy()
            return torch.from_numpy(self.session(np.ascontiguousarray(plain, dtype)))
        # `torch.from_numpy` warns about read-only arrays (a mapped file), so they are copied.
        return self.session(np.require(x, dtype, ("C", "W")))

    @property
    def card(self) -> Card:
        """The net's card."""
        return self._atlas_net.card

    @property
    def lineage(self) -> Lineage | None:
        """Lineage of the weights, whose preprocessing gives inputs of this engine's size; None for random ones."""
        lineage = lineage_of(self.net)
        return None if lineage is None else lineage.for_shape(self.record.shape)

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
        """Input (C, h, w), float32, for a photo, as from `Net.preprocess`, of the size that this engine takes."""
        lineage = self.lineage
        if lineage is None and isinstance(self.net, Net):
            return self.net.preprocess(photo)  # which says what is missing
        if lineage is None:
            raise ConvAtlasError(f"{type(self.net).__name__} is a net of your own, for which no preprocessing is known")
        x = torch.from_numpy(lineage.prepare(photo))
        check_prepared_channels(len(x), self.channels)
        return x

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs of all stages by name, computed in eager mode, since engines return only the net's output."""
        with evaluating(self.net), torch.inference_mode():
            return self._atlas_net.features(x)

    @property
    def _atlas_net(self) -> Net:
        if not isinstance(self.net, Net):
            raise ConvAtlasError(f"{type(self.net).__name__} is a net of your own, without a card and named stages")
        return self.net

    def __reduce__(self) -> NoReturn:
        """Refuse copying and pickling.

        Raises:
            ConvAtlasError: Always; the text says what to do instead.
        """
        raise ConvAtlasError(
            "an engine cannot be copied or pickled: pass its .net instead, and call `accelerate` there"
        )

    def __repr__(self) -> str:
        return f"AcceleratedNet({self.record.brief})"


def _batch_of(shape: tuple[int, ...]) -> str:
    """Shape of a batch, for messages: "(N, 3, 224, 224)"."""
    return f"(N, {', '.join(map(str, shape))})" if shape else "(N,)"

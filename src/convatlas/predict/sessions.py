"""Sessions of nets in memory: eager mode on any device, and engines that start with the first batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import nn

from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError
from convatlas.base.machine import threads
from convatlas.engines.accelerate import accelerate
from convatlas.engines.options import AUTO, EAGER
from convatlas.engines.registry import backends
from convatlas.engines.session import Float32Array, Session
from convatlas.weights.user_weights import photo_size

STREAMS = 8
"""Largest number of concurrent runs, each of which needs memory of its own; further cores are shared among them."""


class EagerSession:
    """The net in PyTorch, in evaluation mode, on a device, in the dtype of its weights."""

    callers = 1

    def __init__(self, net: nn.Module, device: torch.device):
        self.net, self.device = net.to(device).eval(), device
        self.dtype = next((weight.dtype for weight in net.parameters() if weight.is_floating_point()), torch.float32)
        self.engine = "eager float32" if device.type == "cpu" else f"eager float32 on {device}"

    def __call__(self, x: Float32Array) -> Float32Array:
        with torch.inference_mode():
            y = self.net(torch.from_numpy(x).to(self.device, self.dtype)).cpu()
        # numpy has no bfloat16, and halves are too coarse for probabilities.
        outputs: Float32Array = (y.float() if y.dtype.itemsize < 4 else y).numpy()
        return outputs


class EngineSession:
    """A net in the requested engine, which starts with the first batch.

    Args:
        net: The net.
        engine: As in `accelerate`.
        precision: As in `accelerate`.
        device: "auto", "cpu", "cuda" or "mps"; except on the CPU, nets run in eager mode in float32.
        batch: Photos in a batch.
        photos: Paths of the photos that calibrate int8; empty for other precisions.
    """

    def __init__(
        self, net: nn.Module, engine: str, precision: str, device: str, batch: int, photos: Sequence[str] = ()
    ):
        self.net, self.batch, self.photos = net, batch, photos
        self._engine, self._precision, self._device = engine, precision, device

    @cached_property
    def _started(self) -> tuple[Session, str, int]:
        """The session, its engine in words, and the number of threads that may call it at the same time."""
        plain = self._engine in (AUTO, EAGER) and self._precision == "float32"
        device = device_of("cpu" if self._device == AUTO and not plain else self._device)
        if device.type != "cpu":
            if not plain:
                raise ConvAtlasError(
                    f"on {device} nets run in eager mode in float32, not in {self._engine} in {self._precision}"
                )
            eager = EagerSession(self.net, device)
            return eager, eager.engine, 1
        calibration = list(self.photos) or None
        # A net that was loaded for another size still gets photos of the size that its weights prepare.
        size = photo_size(self.net)
        net = accelerate(self.net, self._engine, self._precision, batch=self.batch, size=size, photos=calibration)
        # Threads with a run each wait neither for each other nor for threads that prepare photos.
        callers, options = min(threads(), STREAMS), net.record.options
        session = backends()[options.engine].share(net.session, callers)
        if session is None:
            return net.session, str(options), 1
        return session, str(replace(options, streams=max(options.streams, callers))), callers

    @property
    def engine(self) -> str:
        """The engine in words; this starts the engine if necessary."""
        return self._started[1]

    @property
    def callers(self) -> int:
        """Number of threads that may call the session at the same time; this starts the engine if necessary."""
        return self._started[2]

    def __call__(self, x: Float32Array) -> Float32Array:
        return self._started[0](x)

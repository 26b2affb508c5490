"""Open what is to be explained: the net, the engine that computes its scores, device and precision."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.base.terminal.arguments import argument
from convatlas.engines.accelerated_net import AcceleratedNet
from convatlas.engines.cached import cached_net
from convatlas.engines.session import Session
from convatlas.probes.probe import Probe
from convatlas.probes.subject import Subject
from convatlas.probes.tape.doubled import doubled
from convatlas.weights.resolve import find_net, resolve
from convatlas.weights.user_weights import lineage_of, photo_size

PRECISIONS = ("float32", "float64", "bfloat16")

OF_STORE = "one of the store"
"""Name of an engine that nobody asked for."""


class Opened(NamedTuple):
    """A net, the engine that computes its scores (None: eager mode), its agreement with float32, and its size."""

    module: nn.Module
    session: Session | None
    engine: str
    precision: str
    agreement: float | None
    size: tuple[int, ...] = ()


def open_net(
    net: str | nn.Module | AcceleratedNet, weights: str | None, engine: str | None, precision: str, device: str
) -> Opened:
    """Open a net by its name, a module or a net in an engine, with the engine that was asked for or is remembered.

    Raises:
        UnknownName: There is no such net, weights or engine.
        ConvAtlasError: Net, engine and precision do not go together.
    """
    if isinstance(net, AcceleratedNet):
        options = net.record.options
        if weights is not None or engine is not None or precision not in ("float32", options.precision):
            raise ConvAtlasError(
                f"this net runs in {options} already: leave out {argument('engine')}, {argument('precision')} and "
                f"{argument('weights')}"
            )
        check_precision(options.precision)
        module = net.net
        if net.lineage != lineage_of(module):
            # Photos are prepared to the engine's size.
            module = copy.copy(module)
            module.lineage = net.lineage  # type: ignore[assignment]
        return Opened(module, net.session, str(options), options.precision, net.record.top1, net.record.shape[1:])
    check_precision(precision)
    named = find_net(net, weights)
    module = resolve(named or net, None if named else weights)
    if engine in (None, "eager") and precision != "bfloat16":
        known = named is not None and engine is None and precision == "float32" and device in ("auto", "cpu")
        cached = cached_net(named) if known and named is not None else None
        if cached is None:
            return Opened(module, None, "eager", precision, None)
        return Opened(module, cached.session, OF_STORE, precision, None, cached.lineage.preprocessing.size)
    if precision == "float64":
        raise ConvAtlasError(f"float64 is computed in eager mode: leave out {argument('engine')}")
    from convatlas.engines.accelerate import accelerate

    fast = accelerate(module, engine or "auto", precision, batch=16, size=photo_size(module))
    return open_net(fast, None, None, precision, device)


def check_precision(precision: str) -> None:
    """Refuse a precision in which no map is computed.

    Raises:
        ConvAtlasError: It is one.
    """
    if precision == "int8":
        raise ConvAtlasError("maps are not computed in int8, whose steps are larger than what probes compare")
    if precision not in PRECISIONS:
        raise ConvAtlasError(f"a precision is {', '.join(PRECISIONS)}; got {precision!r:.40}")


def placed(module: nn.Module, x: Tensor, device: torch.device, precision: str) -> tuple[nn.Module, Tensor]:
    """The net and its input on a device, in a precision; a copy where the caller's net would change."""
    weight = next((each for each in module.parameters() if each.is_floating_point()), None)
    dtype = torch.float64 if precision == "float64" else x.dtype if weight is None else weight.dtype
    if dtype in (torch.float16, torch.bfloat16):
        # Maps are computed below float32 only where that was asked for.
        dtype = torch.float32
    if weight is not None and weight.dtype != dtype:
        module = doubled(module, dtype)
    # "cuda" is the current one of "cuda:0", "cuda:1", ...
    device = torch.empty(0, device=device).device
    if weight is not None and weight.device != device:
        module = copy.deepcopy(module).to(device).eval()
    return module, x.to(device, dtype)


def session_for(
    probe: Probe, session: Session | None, subject: Subject, engine: str, size: tuple[int, ...]
) -> Session | None:
    """The engine that computes a probe's scores; None for eager mode, as for nets that mix the photos of a batch.

    Raises:
        SizeError: The caller chose an engine that takes inputs of another size.
        ConvAtlasError: The caller chose an engine for such a net.
    """
    if session is None or not probe.in_engine:
        return None
    fits = subject.size == tuple(size)
    if fits and not subject.mixes:
        return session
    if engine != OF_STORE and not fits:
        (height, width), (rows, columns) = size, subject.size
        raise SizeError(f"this engine takes inputs of {height} × {width}, not {rows} × {columns}")
    if engine != OF_STORE:
        raise ConvAtlasError(
            "this net's score of a photo changes with the others of its batch, which engines compute together: "
            "explain it without an engine, where photos are computed one at a time"
        )
    return None

"""Measure which layers of a net take the most time in eager mode."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.base.untouched import untouched

RUNS = 3


def slowest_layers(net: nn.Module, x: Tensor, count: int = 3) -> list[tuple[str, float]]:
    """Return the slowest layers by name, with their shares of the time of all layers (medians of a few runs)."""
    leaves = {name: module for name, module in net.named_modules() if not list(module.children())}
    seconds: dict[str, list[float]] = {name: [] for name in leaves}
    started: dict[str, float] = {}

    def before(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            started[name] = time.perf_counter()

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            seconds[name].append(time.perf_counter() - started[name])

        return hook

    with untouched(net), torch.inference_mode():
        net.eval()
        for name, module in leaves.items():
            module.register_forward_pre_hook(before(name))
            module.register_forward_hook(after(name))
        for _ in range(RUNS + 1):
            net(x)
    # The first run is a warm-up; a layer that is called several times in a run counts with its median call.
    usual = {name: median(calls[len(calls) // (RUNS + 1) :]) for name, calls in seconds.items() if calls}
    total = sum(usual.values()) or 1.0
    order = sorted(usual, key=usual.__getitem__, reverse=True)
    return [(name, usual[name] / total) for name in order[:count]]

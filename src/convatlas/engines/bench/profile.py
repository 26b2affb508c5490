"""Which layers of a net cost most time, in eager mode."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.base.untouched import untouched

TRIES = 3


def costliest(net: nn.Module, x: Tensor, many: int = 3) -> list[tuple[str, float]]:
    """The names of the layers that take longest, and their shares of the time of all; medians of a few runs."""
    leaves = {name: module for name, module in net.named_modules() if not list(module.children())}
    taken: dict[str, list[float]] = {name: [] for name in leaves}
    begun: dict[str, float] = {}

    def before(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            begun[name] = time.perf_counter()

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            taken[name].append(time.perf_counter() - begun[name])

        return hook

    with untouched(net), torch.inference_mode():
        net.eval()
        for name, module in leaves.items():
            module.register_forward_pre_hook(before(name))
            module.register_forward_hook(after(name))
        for _ in range(TRIES + 1):
            net(x)
    # The first run is a warm-up; a layer that is called several times in one counts for its usual call.
    usual = {name: median(times[len(times) // (TRIES + 1) :]) for name, times in taken.items() if times}
    total = sum(usual.values()) or 1.0
    order = sorted(usual, key=usual.__getitem__, reverse=True)
    return [(name, usual[name] / total) for name in order[:many]]

"""Which weights move, and how fast: groups of parameters, the optimizer, the schedule as a function of the step."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from convatlas.base.errors import TrainingError
from convatlas.training.recipe import Recipe

UP, START, END = 0.3, 25.0, 1e4
"""Of one cycle: the share of steps that go up, and how far below the top it starts and, from there, ends."""


def rate(recipe: Recipe, step: int, per_epoch: int) -> float:
    """The learning rate of a step, counted from 0 over the whole training."""
    steps, top = recipe.epochs * per_epoch, recipe.lr
    if recipe.sched == "onecycle":
        turn = max(UP * steps - 1, 1e-9)
        if step <= turn:
            return _between(top / START, top, step / turn)
        return _between(top, top / START / END, (step - turn) / max(steps - 1 - turn, 1e-9))
    warm = recipe.warmup_epochs * per_epoch
    if step < warm:
        return top * (step + 1) / math.ceil(warm)
    if recipe.sched == "cosine":
        return _between(top, recipe.min_lr, (step - warm) / max(steps - warm, 1))
    if recipe.sched == "step":
        return float(top * recipe.decay_rate ** (step / per_epoch // recipe.decay_epochs))
    return top


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def frozen(net: nn.Module, patterns: tuple[str, ...]) -> list[nn.Module]:
    """Freezes the modules that the patterns name, and gives them: they have to stay in evaluation mode.

    Raises:
        TrainingError: A pattern names no module, or nothing is left to train.
    """
    chosen = []
    for pattern in patterns:
        named = [module for name, module in net.named_modules() if name and fnmatchcase(name, pattern)]
        if not named:
            stages = ", ".join(name for name, _ in net.named_children())
            raise TrainingError(f"there is nothing called {pattern!r} to freeze; the stages are {stages}")
        chosen += named
    for module in chosen:
        module.requires_grad_(False)
    if not any(weight.requires_grad for weight in net.parameters()):
        raise TrainingError("there is no weight left to train")
    return chosen


def optimizer(net: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimizer over the weights that move; each group has its `scale` of the rate."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    scales = _scales(net, recipe.layer_decay)
    for name, weight in net.named_parameters():
        if weight.requires_grad:
            decay = recipe.weight_decay if weight.ndim > 1 else 0.0
            groups.setdefault((scales[name.partition(".")[0]], decay), []).append(weight)
    rows: list[dict[str, Any]] = [
        {"params": weights, "scale": scale, "weight_decay": decay, "lr": recipe.lr * scale}
        for (scale, decay), weights in groups.items()
    ]
    if recipe.opt == "adamw":
        return AdamW(rows, betas=(recipe.momentum, 0.999), fused=True)
    return SGD(rows, recipe.lr, recipe.momentum, nesterov=recipe.opt == "nesterov", fused=True)


def _scales(net: nn.Module, decay: float) -> dict[str, float]:
    """By the name of each child, or weight, of the net: the last one that has weights learns at the full rate."""
    names = list(dict.fromkeys(name.partition(".")[0] for name, _ in net.named_parameters()))
    return {name: decay ** (len(names) - 1 - place) for place, name in enumerate(names)}


def set_rate(optimizer: Optimizer, lr: float) -> None:
    """Makes the next step use this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]


@torch.no_grad()
def average(mean: dict[str, Tensor], net: nn.Module, decay: float) -> None:
    """Moves the running mean of the weights on by one step; what is no float is taken as it is."""
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            mean[name].lerp_(value, 1 - decay)
        else:
            mean[name].copy_(value)

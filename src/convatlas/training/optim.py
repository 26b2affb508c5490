"""Freeze modules, build the optimizer with its parameter groups, schedule the learning rate, average the weights."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from convatlas.base.errors import TrainingError
from convatlas.training.recipe import Recipe

RISE, START_DIVISOR, END_DIVISOR = 0.3, 25.0, 1e4
"""One-cycle schedule: share of steps with a rising rate; ratio of top to start rate; ratio of start to end rate."""


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Learning rate of a step, counted from 0 over the whole training."""
    steps, top = recipe.epochs * steps_per_epoch, recipe.lr
    if recipe.sched == "onecycle":
        turn = max(RISE * steps - 1, 1e-9)
        if step <= turn:
            return _cosine(top / START_DIVISOR, top, step / turn)
        return _cosine(top, top / START_DIVISOR / END_DIVISOR, (step - turn) / max(steps - 1 - turn, 1e-9))
    warmup = recipe.warmup_epochs * steps_per_epoch
    if step < warmup:
        return top * (step + 1) / math.ceil(warmup)
    if recipe.sched == "cosine":
        return _cosine(top, recipe.min_lr, (step - warmup) / max(steps - warmup, 1))
    if recipe.sched == "step":
        return float(top * recipe.decay_rate ** (step / steps_per_epoch // recipe.decay_epochs))
    return top


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def freeze(net: nn.Module, patterns: tuple[str, ...]) -> list[nn.Module]:
    """Freeze the modules that match the patterns, and return them: they have to stay in evaluation mode.

    Raises:
        TrainingError: A pattern matches no module, or nothing is left to train.
    """
    frozen = []
    for pattern in patterns:
        matches = [module for name, module in net.named_modules() if name and fnmatchcase(name, pattern)]
        if not matches:
            stages = ", ".join(name for name, _ in net.named_children())
            raise TrainingError(f"there is nothing called {pattern!r} to freeze; the stages are {stages}")
        frozen += matches
    for module in frozen:
        module.requires_grad_(False)
    if not any(weight.requires_grad for weight in net.parameters()):
        raise TrainingError("all weights are frozen: no weight left to train")
    return frozen


def build_optimizer(net: nn.Module, recipe: Recipe) -> Optimizer:
    """Build the optimizer of the trained weights; each parameter group has its `scale` of the learning rate."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    scales = _lr_scales(net, recipe.layer_decay)
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


def _lr_scales(net: nn.Module, decay: float) -> dict[str, float]:
    """Scale of the learning rate of each child module with weights, by name; 1 for the last one."""
    names = list(dict.fromkeys(name.partition(".")[0] for name, _ in net.named_parameters()))
    return {name: decay ** (len(names) - 1 - position) for position, name in enumerate(names)}


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of each parameter group to `lr` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]


@torch.no_grad()
def update_ema(ema: dict[str, Tensor], net: nn.Module, decay: float) -> None:
    """Update an exponential moving average of the weights in place; integer buffers are copied."""
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            ema[name].lerp_(value, 1 - decay)
        else:
            ema[name].copy_(value)

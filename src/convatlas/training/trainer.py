"""The net that learns: its loss, what moves its weights, their running mean; one process's share of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from convatlas.base.errors import TrainingError
from convatlas.base.fingerprint import fingerprint
from convatlas.base.memory_format import channels_innermost
from convatlas.nets.net import Net
from convatlas.training.data.datasets import Parts
from convatlas.training.data.in_memory import Examples
from convatlas.training.data.loader import Batch
from convatlas.training.distributed import World
from convatlas.training.loss import Objective, balanced
from convatlas.training.metrics import Score, score
from convatlas.training.optim import average, frozen, optimizer, set_rate
from convatlas.training.recipe import Recipe


class Learner:
    """A net in training.

    Args:
        net: (N, C, H, W) -> (N, classes).
        data: What it learns.
        recipe: How.
        device: Where.
        world: With which other processes.

    Raises:
        TrainingError: The recipe does not go with the net, the data or the device.
    """

    def __init__(self, net: nn.Module, data: Parts, recipe: Recipe, device: torch.device, world: World):
        if recipe.amp == "float16" and device.type != "cuda":
            raise TrainingError(f"amp=float16 needs cuda; bfloat16 does on {device.type} too")
        self.net, self.recipe, self.device, self.world = net, recipe, device, world
        self.classes = len(data.classes)
        self.net.to(device)
        # Other nets may count on the usual layout, by `view` for one.
        self.channels_last = recipe.channels_last and isinstance(net, Net)
        if self.channels_last:
            channels_innermost(net)
        self.frozen = frozen(net, recipe.freeze)
        weights = balanced(data.train.labels, self.classes) if recipe.class_weights == "balanced" else None
        self.objective = Objective(net, recipe, weights).to(device)
        self.module: nn.Module = self.objective
        if world.size > 1:
            self.module = DistributedDataParallel(self.module)
        if recipe.torchcompile:
            self.module = torch.compile(self.module)  # type: ignore[assignment]
        self.optimizer = optimizer(net, recipe)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.amp == "float16")
        self.mean = {name: value.clone() for name, value in net.state_dict().items()} if recipe.model_ema else {}

    def check_smallest(self, train: Examples) -> None:
        """Refuses batches of one photo for a net that cannot learn from one: a batch norm of maps of one pixel.

        Raises:
            TrainingError: The last batch of an epoch, or each, would be one.
        """
        batch_size, count = self.recipe.batch_size, len(train.labels)
        last = count % batch_size or min(batch_size, count)
        if last // self.world.size > 1 or not any(isinstance(module, _BatchNorm) for module in self.net.modules()):
            return
        before = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.begin()
        try:
            with torch.no_grad():
                self.net(next(train.shown([torch.zeros(1, dtype=torch.long)], 0)).to(self.device))
        except ValueError:
            raise TrainingError(
                f"the last batch of {count} photos has {last}, and a batch norm cannot learn from one photo a process: "
                f"batch_size={batch_size} is not for them"
            ) from None
        finally:
            self.net.load_state_dict(before)

    def begin(self) -> None:
        """Makes the net ready for an epoch: all but what is frozen in training mode."""
        self.module.train()
        for module in self.frozen:
            module.eval()

    def learn(self, batch: Batch, lr: float, progress: float) -> float:
        """One step down the gradient of the mean loss over a batch, which is returned; none if that is no number.

        Args:
            batch: Of which this process has its share.
            lr: The learning rate.
            progress: How much of the training is done, from 0 to 1.
        """
        recipe, x = self.recipe, batch.x.to(self.device)
        set_rate(self.optimizer, lr)
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, getattr(torch, recipe.amp, None), enabled=recipe.amp != "none"):
            loss, _ = self.module(x, batch.labels.to(self.device), batch.target.to(self.device), progress)
        # Gradients are averaged over the processes, whose shares of the batch may differ by one photo.
        mine = len(self.world.mine(batch.numbers)) * self.world.size / len(batch.numbers)
        summed = float(self.world.together(loss.detach() * mine)) / self.world.size
        if not math.isfinite(summed):
            return summed
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss * mine if mine != 1 else loss).backward()
        if recipe.clip_grad:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip_grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.mean:
            average(self.mean, self.net, recipe.model_ema)
        return summed

    def is_finite(self) -> bool:
        """Whether all weights are numbers."""
        return all(v.isfinite().all() for v in self.net.state_dict().values() if v.is_floating_point())

    def score(self, examples: Examples) -> Score:
        """How good the net is, as it stands."""
        return score(self.objective, examples, self.classes, self.world, self.device)

    @contextmanager
    def reported(self) -> Iterator[None]:
        """The net with the weights that count: their running mean, if there is one."""
        if not self.mean:
            yield
            return
        raw = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(self.mean)
        try:
            yield
        finally:
            self.net.load_state_dict(raw)

    def settle(self) -> str:
        """Leaves the weights that count in the net, in evaluation mode; gives the hash of all of them."""
        sha256 = fingerprint(self.net.state_dict(), self.mean)
        if self.mean:
            self.net.load_state_dict(self.mean)
        self.net.eval()
        return sha256

    def state(self) -> dict[str, Any]:
        """All that `go_on` needs; plain values and tensors."""
        return {
            "net": self.net.state_dict(),
            "mean": self.mean,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def put(self, state: dict[str, Any]) -> None:
        """Takes over the weights of a state."""
        self.net.load_state_dict(state["net"])
        for name, value in state["mean"].items():
            self.mean[name].copy_(value)

    def go_on(self, state: dict[str, Any]) -> None:
        """Takes over all of it."""
        self.put(state)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])

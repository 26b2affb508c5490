"""Take training steps, evaluate a net, and save or restore the state of its training."""

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
from convatlas.base.memory_format import to_channels_last
from convatlas.base.terminal.arguments import argument
from convatlas.base.untouched import untouched
from convatlas.nets.net import Net
from convatlas.training.checkpoint_check import check_state
from convatlas.training.data.dataset import ImageDataset, TrainingData
from convatlas.training.data.loader import Batch
from convatlas.training.data.splits import Splits
from convatlas.training.detectors.dataset import BoxDataset
from convatlas.training.detectors.score import score_detector
from convatlas.training.distributed import World
from convatlas.training.loss import NetWithLoss, balanced_weights
from convatlas.training.metrics import Score, score
from convatlas.training.optim import build_optimizer, freeze, set_learning_rate, update_ema
from convatlas.training.recipe import Recipe


class Trainer:
    """A net with its loss, optimizer and moving average, in one of the processes that train it.

    Args:
        net: The net; (N, C, H, W) -> (N, classes), or a detector.
        data: Data to train on.
        recipe: Settings of the training.
        device: Device to train on.
        world: The processes that train the net together.

    Attributes:
        ema: Exponential moving average of the weights by name; empty without `model_ema`.

    Raises:
        TrainingError: The recipe does not fit the net, the data or the device.
    """

    def __init__(self, net: nn.Module, data: Splits, recipe: Recipe, device: torch.device, world: World):
        if recipe.amp == "float16" and device.type != "cuda":
            raise TrainingError(f"{argument('amp', 'float16')} needs cuda; bfloat16 works on {device.type} too")
        self.net, self.recipe, self.device, self.world = net, recipe, device, world
        self.classes = len(data.classes)
        self.net.to(device)
        # A user's own net may depend on the default memory format, for example by `view`.
        self.channels_last = recipe.channels_last and isinstance(net, Net)
        if self.channels_last:
            to_channels_last(net)
        self.frozen = freeze(net, recipe.freeze)
        weights = None
        if recipe.class_weights == "balanced":
            assert isinstance(data.train, ImageDataset)
            weights = balanced_weights(data.train.labels, self.classes)
        self.net_with_loss = NetWithLoss(net, recipe, weights).to(device)
        self.module: nn.Module = self.net_with_loss
        if world.size > 1:
            self.module = DistributedDataParallel(self.module)
        if recipe.torchcompile:
            self.module = torch.compile(self.module)  # type: ignore[assignment]
        self.optimizer = build_optimizer(net, recipe)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.amp == "float16")
        self.ema = {name: value.clone() for name, value in net.state_dict().items()} if recipe.model_ema else {}

    def check_smallest_batch(self, train: TrainingData) -> None:
        """Refuse batches of one photo if the net cannot train on them, because of a batch norm of 1 x 1 feature maps.

        Raises:
            TrainingError: The last batch of an epoch, or every batch, would have one photo.
        """
        batch_size, count = self.recipe.batch_size, len(train)
        last = count % batch_size or min(batch_size, count)
        if last // self.world.size > 1 or not any(isinstance(module, _BatchNorm) for module in self.net.modules()):
            return
        photo, _ = next(train.train_batches([torch.zeros(1, dtype=torch.long)], 0))
        try:
            with untouched(self.net), torch.no_grad():
                self.set_train_mode()
                self.net(photo.to(self.device))
        except ValueError:
            raise TrainingError(
                f"the last batch of {count} photos has {last}, and a batch norm cannot learn from one photo a process: "
                f"{argument('batch_size', batch_size)} does not suit them"
            ) from None

    def set_train_mode(self) -> None:
        """Set training mode, and evaluation mode for frozen modules."""
        self.module.train()
        for module in self.frozen:
            module.eval()

    def train_step(self, batch: Batch, lr: float, progress: float) -> float:
        """Take one optimizer step and return the batch's mean loss; take none if the loss is not finite.

        Args:
            batch: The batch, with this process's shard.
            lr: Learning rate.
            progress: Share of the training that is done, 0 to 1.
        """
        recipe, x = self.recipe, batch.x.to(self.device)  # (N, C, H, W)
        set_learning_rate(self.optimizer, lr)
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, getattr(torch, recipe.amp, None), enabled=recipe.amp != "none"):
            loss, _ = self.module(x, batch.labels.to(self.device), batch.target.to(self.device), progress)
        # Gradients are averaged over the processes, whose shards may differ by one photo.
        weight = len(self.world.shard(batch.indices)) * self.world.size / len(batch.indices)
        mean_loss = float(self.world.all_reduce(loss.detach() * weight)) / self.world.size
        if not math.isfinite(mean_loss):
            return mean_loss
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss * weight if weight != 1 else loss).backward()
        if recipe.clip_grad:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip_grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema:
            update_ema(self.ema, self.net, recipe.model_ema)
        return mean_loss

    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        return all(v.isfinite().all() for v in self.net.state_dict().values() if v.is_floating_point())

    def score(self, dataset: TrainingData) -> Score:
        """Evaluate the net with its current weights."""
        if isinstance(dataset, BoxDataset):
            return score_detector(self.net_with_loss, dataset, self.world, self.device)
        return score(self.net_with_loss, dataset, self.classes, self.world, self.device)

    @contextmanager
    def ema_weights(self) -> Iterator[None]:
        """Use the moving average of the weights, if there is one, within the context; then restore the weights."""
        if not self.ema:
            yield
            return
        weights = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(self.ema)
        try:
            yield
        finally:
            self.net.load_state_dict(weights)

    def finalize(self) -> str:
        """Load the reported weights into the net, in evaluation mode; return the hash of weights and moving average."""
        sha256 = fingerprint(self.net.state_dict(), self.ema)
        if self.ema:
            self.net.load_state_dict(self.ema)
        self.net.eval()
        return sha256

    def state_dict(self) -> dict[str, Any]:
        """Return the state to resume from, in plain values and tensors."""
        return {
            "net": self.net.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def check(self, state: dict[str, Any]) -> None:
        """Check that a state from a file is one of this run; raise a SchemaError if it is not."""
        trained = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        check_state(state, self.state_dict(), trained)

    def load_weights(self, state: dict[str, Any]) -> None:
        """Load the weights and their moving average from a state."""
        self.net.load_state_dict(state["net"])
        for name, value in state["ema"].items():
            self.ema[name].copy_(value)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the whole state."""
        self.load_weights(state)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])

"""The loop.

Order, augmentation and dropout are functions of (seed, epoch, photo or step), so that nothing of the past but the
checkpoint is needed to go on: a run that was killed at any moment ends in the same bits as one that was not, on the
same device, with the same number of processes and threads, and the same version of PyTorch.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from convatlas.base.devices import device_of
from convatlas.base.errors import TrainingError
from convatlas.training import checkpoints
from convatlas.training.data import Parts
from convatlas.training.examples import Examples, batches, check_labels
from convatlas.training.finishing import Outcome, finished, identity, restore, write_result
from convatlas.training.journal import Journal
from convatlas.training.lots import Lot, order, seed_torch
from convatlas.training.mixing import mixture
from convatlas.training.objective import Objective, balanced
from convatlas.training.optimizing import average, frozen, optimizer, rate, set_rate
from convatlas.training.recipe import Recipe
from convatlas.training.result import Training
from convatlas.training.scoring import Score, score
from convatlas.training.world import World, joined


@dataclasses.dataclass
class Position:
    """Where a run is: what a checkpoint holds beside weights and the optimizer's state.

    Attributes:
        epoch: That is under way, from 0.
        step: Steps of it that are done.
        loss: Sum over its photos so far.
        seconds: Since the beginning, interruptions aside.
        best: The best validation accuracy so far; -1 before there is one.
        best_epoch: When that was.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    best: float = -1.0
    best_epoch: int = -1


def fit(
    net: nn.Module,
    data: Parts,
    recipe: Recipe,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    tensorboard: bool = False,
) -> Training:
    """Trains a net; in `folder` are then its weights, result, metrics and last checkpoints.

    Args:
        net: A net of the atlas, or any module (N, C, H, W) -> (N, classes). It holds the reported weights afterwards.
        data: From `parts`.
        recipe: How.
        folder: Of this run alone.
        resume: Go on from the folder's newest checkpoint, if there is one.
        device: "auto", "cpu", "cuda" or "mps".
        tensorboard: Write for TensorBoard too.

    Raises:
        TrainingError: It cannot begin or go on; the text says what is kept.
    """
    *_, (_, _, found) = fits(net, data, recipe, folder, resume=resume, device=device, tensorboard=tensorboard)
    assert found is not None
    return found


def fits(
    net: nn.Module,
    data: Parts,
    recipe: Recipe,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    tensorboard: bool = False,
) -> Iterator[tuple[int, int, Training | None]]:
    """As `fit`: (steps done, steps in all, None) after each step, the result with the last one."""
    where, folder = device_of(device), Path(folder)
    with joined(where) as world, _owned(folder, resume, world), _repeatable(where):
        yield from _Run(net, data, recipe, folder, where, world, tensorboard).steps(resume)


class _Run:
    """One training: the net with its loss, what moves its weights, and how far it is."""

    def __init__(
        self,
        net: nn.Module,
        data: Parts,
        recipe: Recipe,
        folder: Path,
        device: torch.device,
        world: World,
        tensorboard: bool,
    ):
        self.net, self.data, self.recipe, self.folder = net, data, recipe, folder
        self.device, self.world, self.position = device, world, Position()
        self.classes = len(data.classes)
        if recipe.patience and data.validation is None:
            raise TrainingError("patience needs photos to choose by: hold some out with val_split")
        if recipe.amp == "float16" and device.type != "cuda":
            raise TrainingError(f"amp=float16 needs cuda; bfloat16 does on {device.type} too")
        for part, examples in (("training", data.train), ("validation", data.validation), ("test", data.test)):
            if examples is not None:
                check_labels(examples.labels, self.classes, part)
        self.identity = identity(net, data, recipe)
        self.net.to(device)
        if recipe.channels_last:
            self.net.to(memory_format=torch.channels_last)
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
        self.journal = Journal(folder, tensorboard and world.first)
        self.per_epoch = -(-len(data.train.labels) // recipe.batch_size)

    def steps(self, resume: bool) -> Iterator[tuple[int, int, Training | None]]:
        total = self.per_epoch * self.recipe.epochs
        if resume and (self.folder / "result.json").exists():
            checkpoints.check_same(self.folder, checkpoints.read_lines(self.folder / "run.json")[0], self.identity)
            restore(self.net, self.folder)
            yield total, total, Training.read(self.folder / "result.json")
            return
        if resume:
            self._resume()
        if self.world.first:
            checkpoints.write_lines(self.folder / "run.json", [self.identity])
        while self.position.epoch < self.recipe.epochs and not self._is_stale():
            for done in self._epoch():
                yield done, total, None
            self._after_epoch()
        yield total, total, self._finish()

    def _finish(self) -> Training:
        """Puts the weights that count into the net, tests them once, and writes them and the result."""
        here, held, test = self.position, self.data.validation, self.data.test
        if held is not None:
            best = checkpoints.latest(self.folder / "best")
            assert best is not None
            self._put(best[1])
        sha256 = checkpoints.digest(self.net.state_dict(), self.mean)
        if self.mean:
            self.net.load_state_dict(self.mean)
        self.net.eval()
        scores = [None if part is None else self._score(part) for part in (held, test)]
        epoch = here.epoch if held is None else here.best_epoch + 1
        outcome = Outcome(here.epoch, epoch, here.epoch * self.per_epoch, here.seconds, *scores)
        result = finished(self.net, self.data, self.recipe, outcome, self.journal.lines, sha256, self.folder)
        if self.world.first:
            write_result(self.net, result, self.folder)
        self.world.wait()
        return result

    def _is_stale(self) -> bool:
        """Whether it is long since an epoch was better than all before."""
        return bool(self.recipe.patience) and self.position.epoch - self.position.best_epoch > self.recipe.patience

    def _epoch(self) -> Iterator[int]:
        """Takes the steps of the epoch that are not done yet, and gives how many are done in all."""
        here, recipe, labels = self.position, self.recipe, self.data.train.labels
        plan = batches(order(recipe.seed, here.epoch, len(labels)), recipe.batch_size)[here.step :]
        mixtures = [mixture(recipe, here.epoch, here.step + ahead, len(row)) for ahead, row in enumerate(plan)]
        places = [self._places(len(row)) for row in plan]
        wanted = [
            row[place if mixed is None else torch.cat([place, mixed.partner[place]])]
            for row, place, mixed in zip(plan, places, mixtures, strict=True)
        ]
        self.module.train()
        for module in self.frozen:
            module.eval()
        photos = self.data.train.shown(wanted, here.epoch)
        started = time.perf_counter()
        for row, mine, mixed, x in zip(plan, wanted, mixtures, photos, strict=True):
            x, target = x.to(self.device), F.one_hot(labels[mine], self.classes).float()
            if mixed is not None:
                (x, others), (target, wrong) = x.chunk(2), target.chunk(2)
                x, target = mixed.photos(x, others), mixed.targets(target, wrong, *x.shape[2:])
            self._step(x, labels[mine[: len(x)]], target, row)
            here.step += 1
            here.seconds, started = here.seconds + time.perf_counter() - started, time.perf_counter()
            if recipe.checkpoint_steps and here.step % recipe.checkpoint_steps == 0 and here.step < self.per_epoch:
                self._save(self.folder)
            yield here.epoch * self.per_epoch + here.step

    def _places(self, count: int) -> Tensor:
        """Which photos of a batch fall to this process; one that counts nothing where there are too few."""
        mine = self.world.mine(torch.arange(count))
        return mine if len(mine) else torch.zeros(1, dtype=torch.long)

    def _step(self, x: Tensor, labels: Tensor, target: Tensor, row: Tensor) -> None:
        """One step down the gradient of the mean loss over the photos `row`, of which `x` are this process's."""
        here, recipe = self.position, self.recipe
        done = here.epoch * self.per_epoch + here.step
        set_rate(self.optimizer, lr := rate(recipe, done, self.per_epoch))
        seed_torch(Lot.STEP, recipe.seed, here.epoch, here.step, self.world.rank)
        if recipe.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, getattr(torch, recipe.amp, None), enabled=recipe.amp != "none"):
            progress = done / (self.per_epoch * recipe.epochs)
            loss, _ = self.module(x, labels.to(self.device), target.to(self.device), progress)
        # Gradients are averaged over the processes, whose shares of the batch may differ by one photo.
        mine = len(self.world.mine(row)) * self.world.size / len(row)
        summed = float(self.world.together(loss.detach() * mine)) / self.world.size
        if not abs(summed) < float("inf"):
            raise TrainingError(self._broken(f"the loss is {summed}", row))
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss * mine if mine != 1 else loss).backward()
        if recipe.clip_grad:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip_grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.mean:
            average(self.mean, self.net, recipe.model_ema)
        here.loss += summed * len(row)
        self.journal.lr = lr

    def _broken(self, what: str, row: Tensor) -> str:
        here, newest = self.position, sorted(self.folder.glob(checkpoints.PATTERN))
        kept = f"the last good checkpoint is {newest[-1]}" if newest else "there is no checkpoint yet"
        shown = ", ".join(map(str, row[:4].tolist()))
        return f"{what} at step {here.step} of epoch {here.epoch}, photos {shown}, ... of {self.data.name}; {kept}"

    def _after_epoch(self) -> None:
        """Scores the epoch on what is held out, writes its line, its checkpoint, and the best."""
        here, found = self.position, None
        if self.data.validation is not None:
            with self._reported():
                found = self._score(self.data.validation)
        loss = here.loss / len(self.data.train.labels)
        better = found is not None and found.top1 > here.best
        if found is not None and better:
            here.best, here.best_epoch = found.top1, here.epoch
        self.journal.epoch(here.epoch, loss, here.seconds, found)
        here.epoch, here.step, here.loss = here.epoch + 1, 0, 0.0
        if better:
            self._save(self.folder / "best", kept=1)
        self._save(self.folder)

    def _score(self, examples: Examples) -> Score:
        return score(self.objective, examples, self.classes, self.world, self.device)

    @contextmanager
    def _reported(self) -> Iterator[None]:
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

    def _save(self, folder: Path, kept: int = 2) -> None:
        here, state = self.position, self.net.state_dict()
        if not all(value.isfinite().all() for value in state.values() if value.is_floating_point()):
            raise TrainingError(self._broken("weights are not finite", torch.tensor([], dtype=torch.long)))
        if self.world.first:
            content = {
                "run": self.identity,
                "net": state,
                "mean": self.mean,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "position": dataclasses.asdict(here),
                "lines": self.journal.lines,
            }
            self.journal.write()
            checkpoints.save(folder, here.epoch * self.per_epoch + here.step, content, kept)
        self.world.wait()

    def _resume(self) -> None:
        found = checkpoints.latest(self.folder)
        if found is None:
            return
        path, content = found
        checkpoints.check_same(path, content["run"], self.identity)
        self._put(content)
        self.optimizer.load_state_dict(content["optimizer"])
        self.scaler.load_state_dict(content["scaler"])
        self.position = Position(**content["position"])
        self.journal.lines = content["lines"]

    def _put(self, content: dict[str, Any]) -> None:
        self.net.load_state_dict(content["net"])
        for name, value in content["mean"].items():
            self.mean[name].copy_(value)


@contextmanager
def _owned(folder: Path, resume: bool, world: World) -> Iterator[None]:
    if world.first:
        with checkpoints.owned(folder, resume):
            yield
    else:
        yield


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Algorithms that give the same bits each time; what was set before, and the generators, are put back."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=None if device.type == "cuda" else []):
        # On GPUs some layers have no such algorithm: PyTorch names them.
        torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warned)

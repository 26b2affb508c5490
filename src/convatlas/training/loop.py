"""The loop.

Order, augmentation and dropout are functions of (seed, epoch, photo or step), so that nothing of the past but the
checkpoint is needed to go on: a run that was killed at any moment ends in the same bits as one that was not, on the
same device, with the same number of processes and threads, and the same version of PyTorch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from convatlas.base.devices import device_of
from convatlas.base.errors import TrainingError
from convatlas.base.verbs import Steps, verb
from convatlas.training import checkpoints
from convatlas.training.data.datasets import Parts
from convatlas.training.data.in_memory import check_labels
from convatlas.training.data.loader import Batch, feed, steps_of_epoch
from convatlas.training.distributed import World, joined
from convatlas.training.inplace_relu import free_to_overwrite, overwriting
from convatlas.training.log import Journal
from convatlas.training.optim import rate
from convatlas.training.outcome import Outcome, finished, identity, restore, write_result
from convatlas.training.recipe import Recipe
from convatlas.training.result import Training
from convatlas.training.seeding import Lot, repeatable, seed_torch
from convatlas.training.trainer import Learner


@dataclass
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


@verb
def fit(
    net: nn.Module,
    data: Parts,
    recipe: Recipe,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    tensorboard: bool = False,
) -> Steps[Training]:
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
    where, folder = device_of(device), Path(folder)
    with joined(where) as world:
        owned = checkpoints.owned(folder, resume) if world.first else nullcontext()
        with owned, repeatable(where):
            yield from _Run(net, data, recipe, folder, where, world, tensorboard).steps(resume)


class _Run:
    """One training: who learns, from what, how, and how far it is."""

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
        if recipe.patience and data.validation is None:
            raise TrainingError("patience needs photos to choose by: hold some out with val_split")
        for part, examples in (("training", data.train), ("validation", data.validation), ("test", data.test)):
            if examples is not None:
                check_labels(examples.labels, len(data.classes), part)
        self.net, self.data, self.recipe, self.folder, self.world = net, data, recipe, folder, world
        self.identity = identity(net, data, recipe)
        self.learner = Learner(net, data, recipe, device, world)
        self.learner.check_smallest(data.train)
        self.overwritable = free_to_overwrite(net)
        self.journal = Journal(folder, tensorboard and world.first)
        self.position = Position()
        self.per_epoch = steps_of_epoch(data.train, recipe)

    def steps(self, resume: bool) -> Steps[Training]:
        total = self.per_epoch * self.recipe.epochs
        if resume and (self.folder / "result.json").exists():
            checkpoints.check_same(self.folder, checkpoints.read_identity(self.folder), self.identity)
            restore(self.net, self.folder)
            yield total, total, Training.read(self.folder / "result.json")
            return
        if resume:
            self._resume()
        if self.world.first:
            checkpoints.write_lines(self.folder / "run.json", [self.identity])
        while self.position.epoch < self.recipe.epochs and not self._is_stale():
            with overwriting(self.overwritable):
                for done in self._epoch():
                    yield done, total, None
            self._after_epoch()
        yield total, total, self._finish()

    def _epoch(self) -> Iterator[int]:
        """Takes the steps of the epoch that are not done yet, and gives how many are done in all."""
        here, recipe = self.position, self.recipe
        self.learner.begin()
        started = time.perf_counter()
        classes = len(self.data.classes)
        for batch in feed(self.data.train, recipe, classes, self.world, here.epoch, here.step):
            self._step(batch)
            here.step += 1
            here.seconds, started = here.seconds + time.perf_counter() - started, time.perf_counter()
            if recipe.checkpoint_steps and here.step % recipe.checkpoint_steps == 0 and here.step < self.per_epoch:
                self._save(self.folder)
            yield here.epoch * self.per_epoch + here.step

    def _step(self, batch: Batch) -> None:
        here, recipe = self.position, self.recipe
        done = here.epoch * self.per_epoch + here.step
        self.journal.lr = rate(recipe, done, self.per_epoch)
        seed_torch(Lot.STEP, recipe.seed, here.epoch, here.step, self.world.rank)
        loss = self.learner.learn(batch, self.journal.lr, done / (self.per_epoch * recipe.epochs))
        if not math.isfinite(loss):
            shown = ", ".join(map(str, batch.numbers[:4].tolist())) + ", ..." * (len(batch.numbers) > 4)
            raise TrainingError(self._broken(f"the loss is {loss}", f", photos {shown} of {self.data.name}"))
        here.loss += loss * len(batch.numbers)

    def _after_epoch(self) -> None:
        """Scores the epoch on what is held out, writes its line, its checkpoint, and the best."""
        here, found = self.position, None
        if self.data.validation is not None:
            with self.learner.reported():
                found = self.learner.score(self.data.validation)
        loss = here.loss / len(self.data.train.labels)
        better = found is not None and found.top1 > here.best
        if found is not None and better:
            here.best, here.best_epoch = found.top1, here.epoch
        self.journal.epoch(here.epoch, loss, here.seconds, found)
        here.epoch, here.step, here.loss = here.epoch + 1, 0, 0.0
        if better:
            self._save(self.folder / "best", kept=1)
        self._save(self.folder)

    def _is_stale(self) -> bool:
        """Whether it is long since an epoch was better than all before."""
        return bool(self.recipe.patience) and self.position.epoch - self.position.best_epoch > self.recipe.patience

    def _finish(self) -> Training:
        """Puts the weights that count into the net, tests them once, and writes them and the result."""
        here, held, test = self.position, self.data.validation, self.data.test
        if held is not None:
            best = checkpoints.latest(self.folder / "best")
            if best is None:
                raise TrainingError(f"{self.folder / 'best'}, which held the best checkpoint, is empty")
            self.learner.put(best[1])
        sha256 = self.learner.settle()
        scores = [None if part is None else self.learner.score(part) for part in (held, test)]
        epoch = here.epoch if held is None else here.best_epoch + 1
        outcome = Outcome(here.epoch, epoch, here.epoch * self.per_epoch, here.seconds, *scores)
        result = finished(self.net, self.data, self.recipe, outcome, self.journal.lines, sha256, self.folder)
        if self.world.first:
            write_result(self.net, result, self.folder)
        self.world.wait()
        return result

    def _save(self, folder: Path, kept: int = 2) -> None:
        here = self.position
        if not self.learner.is_finite():
            raise TrainingError(self._broken("weights are not finite"))
        if self.world.first:
            content = {"run": self.identity, "position": asdict(here), "lines": self.journal.lines}
            self.journal.write()
            done = here.epoch * self.per_epoch + here.step
            checkpoints.save(folder, done, content | self.learner.state(), kept)
        self.world.wait()

    def _resume(self) -> None:
        found = checkpoints.latest(self.folder)
        if found is None:
            return
        path, content = found
        checkpoints.check_same(path, content["run"], self.identity)
        self.learner.go_on(content)
        self.position, self.journal.lines = Position(**content["position"]), content["lines"]

    def _broken(self, what: str, photos: str = "") -> str:
        here, newest = self.position, sorted(self.folder.glob(checkpoints.PATTERN))
        kept = f"the last good checkpoint is {newest[-1]}" if newest else "there is no checkpoint yet"
        return f"{what} at step {here.step + 1} of epoch {here.epoch + 1}{photos}; {kept}"

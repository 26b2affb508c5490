"""The training loop.

Order, augmentation and dropout are functions of (seed, epoch, index of the photo or step), so a run can resume from a
checkpoint alone: killed at any moment, it ends with the same bits as without interruption, given the same device,
numbers of processes and threads, and version of PyTorch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from convatlas.base.devices import device_of
from convatlas.base.errors import ConvAtlasError, TrainingError, printable
from convatlas.base.files.structured import SchemaError, to_type
from convatlas.base.verbs import Steps, verb
from convatlas.nets.net import Net
from convatlas.training import checkpoints
from convatlas.training.checkpoint_check import check_lines
from convatlas.training.data.loader import Batch, load_batches, steps_per_epoch
from convatlas.training.data.splits import Splits
from convatlas.training.detectors.check import check_truths
from convatlas.training.distributed import World, process_group
from convatlas.training.inplace_relu import inplace_candidates, run_inplace
from convatlas.training.log import MetricsLog
from convatlas.training.metrics import Score
from convatlas.training.optim import learning_rate
from convatlas.training.recipe import Recipe
from convatlas.training.result import TrainingResult, trained_lineage, trained_user_lineage
from convatlas.training.run_folder import (
    CHECKPOINTS,
    check_identity,
    load_weights,
    own_folder,
    read_identity,
    run_identity,
    write_lines,
    write_result,
)
from convatlas.training.seeding import Stream, deterministic, seed_torch
from convatlas.training.trainer import Trainer
from convatlas.weights.user_weights import adopt


@dataclass
class Position:
    """Progress of a run, which a checkpoint stores beside the trainer's state.

    Attributes:
        epoch: Current epoch, from 0.
        step: Number of finished steps of this epoch.
        loss: Sum of the loss over the photos of these steps.
        seconds: Training time so far, without interruptions.
        best: Best validation accuracy (of a detector: precision) so far; -1 before there is one.
        best_epoch: Epoch of the best validation; -1 before there is one.
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
    data: Splits,
    recipe: Recipe,
    folder: str | Path,
    *,
    resume: bool = False,
    name: str | None = None,
    device: str = "auto",
    tensorboard: bool = False,
) -> Steps[TrainingResult]:
    """Train a net; write weights, result, metrics and the last checkpoints to `folder`.

    Args:
        net: A net of the atlas, or any module (N, C, H, W) -> (N, classes). Afterwards it holds the reported weights,
            and their lineage.
        data: Data from `load_splits`, for detectors from `load_boxed_splits`.
        recipe: Settings of the training.
        folder: Folder of the run, for no other use.
        resume: Whether to resume from the folder's newest checkpoint, if there is one. A finished run is resumed if the
            recipe has more epochs than it had and is otherwise the same; the added epochs follow the schedule of the
            longer run.
        name: Name of a net of your own in the files of the run, as `package.module:callable`; by default its class.
        device: "auto", "cpu", "cuda" or "mps".
        tensorboard: Whether to write TensorBoard's file too.

    Raises:
        TrainingError: The run cannot start or continue; the message says which checkpoint is kept.
    """
    chosen, folder = device_of(device), Path(folder)
    with process_group(chosen) as world:
        ownership = own_folder(folder, resume) if world.is_main else nullcontext()
        with ownership, deterministic(chosen):
            yield from _Run(net, data, recipe, folder, chosen, world, name, tensorboard).steps(resume)


class _Run:
    """One training in one process."""

    def __init__(
        self,
        net: nn.Module,
        data: Splits,
        recipe: Recipe,
        folder: Path,
        device: torch.device,
        world: World,
        name: str | None,
        tensorboard: bool,
    ):
        if recipe.patience and data.validation is None:
            raise TrainingError("patience needs a validation split: hold photos out with val_split")
        check_truths(net, data)
        self.net, self.data, self.recipe, self.folder, self.world = net, data, recipe, folder, world
        if any(is_lazy(weight) for weight in (*net.parameters(), *net.buffers())):
            raise TrainingError("the net has lazy layers, whose shapes are set when it first runs: run it once before")
        self.name = net.card.name if isinstance(net, Net) else name or type(net).__name__
        self.identity = run_identity(net, data, recipe)
        self.trainer = Trainer(net, data, recipe, device, world)
        self.position, self.lr, self.longer = Position(), 0.0, False
        with self._own_code():
            self.trainer.check_smallest_batch(data.train)
        self.inplace = inplace_candidates(net)
        self.log = MetricsLog(folder, tensorboard and world.is_main)
        self.steps_per_epoch = steps_per_epoch(data.train, recipe)

    def steps(self, resume: bool) -> Steps[TrainingResult]:
        total = self.steps_per_epoch * self.recipe.epochs
        finished = None
        if resume and (self.folder / "result.json").exists():
            finished = TrainingResult.read(self.folder / "result.json")
            check_identity(self.folder, read_identity(self.folder), self.identity, longer=True)
            if finished.recipe.get("epochs") == self.recipe.epochs:
                load_weights(self.net, self.folder)
                yield total, total, finished
                return
        if resume:
            # Until the added epochs are done, the folder holds the weights and the result of the shorter run.
            self.longer = finished is not None
            self._resume()
        if self.world.is_main:
            write_lines(self.folder / "run.json", [self.identity])
        while self.position.epoch < self.recipe.epochs and not self._is_out_of_patience():
            with run_inplace(self.inplace):
                for done in self._train_epoch():
                    yield done, total, None
            self._finish_epoch()
        yield total, total, self._finish()

    def _train_epoch(self) -> Iterator[int]:
        """Take the remaining steps of the epoch; after each, yield the number of steps done in the whole run."""
        position, recipe = self.position, self.recipe
        self.trainer.set_train_mode()
        started = time.perf_counter()
        for batch in load_batches(
            self.data.train, recipe, len(self.data.classes), self.world, position.epoch, position.step
        ):
            self._train_step(batch)
            position.step += 1
            position.seconds, started = position.seconds + time.perf_counter() - started, time.perf_counter()
            if self._is_checkpoint_step():
                self._save(self.folder)
            yield self._steps_done()

    def _is_checkpoint_step(self) -> bool:
        """Whether a checkpoint within the epoch is due."""
        step, interval = self.position.step, self.recipe.checkpoint_steps
        return bool(interval) and step % interval == 0 and step < self.steps_per_epoch

    def _train_step(self, batch: Batch) -> None:
        position, recipe, done = self.position, self.recipe, self._steps_done()
        self.lr = learning_rate(recipe, done, self.steps_per_epoch)
        seed_torch(Stream.STEP, recipe.seed, position.epoch, position.step, self.world.rank)
        with self._own_code():
            loss = self.trainer.train_step(batch, self.lr, done / (self.steps_per_epoch * recipe.epochs))
        if not math.isfinite(loss):
            photos = ", ".join(map(str, batch.indices[:4].tolist())) + ", ..." * (len(batch.indices) > 4)
            raise self._failure(f"the loss is {loss}", f", photos {photos} of {self.data.name}")
        position.loss += loss * len(batch.indices)

    @contextmanager
    def _own_code(self) -> Iterator[None]:
        """Report any error of a user's net in one line; the error itself is its cause."""
        try:
            yield
        except ConvAtlasError:
            raise
        except Exception as error:
            if isinstance(self.net, Net):
                raise
            raise self._failure(f"{self.name} fails ({printable(f'{type(error).__name__}: {error}')})") from error

    def _finish_epoch(self) -> None:
        """Evaluate on the validation split, log the epoch, and save a checkpoint, also as the best if it improved."""
        position, validation = self.position, None
        if self.data.validation is not None:
            with self.trainer.ema_weights():
                validation = self.trainer.score(self.data.validation)
        loss = position.loss / len(self.data.train)
        improved = validation is not None and validation.metric > position.best
        if validation is not None and improved:
            position.best, position.best_epoch = validation.metric, position.epoch
        self.log.add_epoch(position.epoch, self.lr, loss, position.seconds, validation)
        position.epoch, position.step, position.loss = position.epoch + 1, 0, 0.0
        if improved:
            self._save(self.folder / "best", keep=1)
        self._save(self.folder)

    def _is_out_of_patience(self) -> bool:
        """Whether the last `patience` epochs brought no improvement."""
        return bool(self.recipe.patience) and self.position.epoch - self.position.best_epoch > self.recipe.patience

    def _finish(self) -> TrainingResult:
        """Load the reported weights into the net, test them once, and write weights and result."""
        position, data = self.position, self.data
        if data.validation is not None:
            best = checkpoints.load_latest(self.folder / "best", self._check)
            if best is None:
                raise TrainingError(f"the best checkpoint is missing from {self.folder / 'best'}")
            self.trainer.load_weights(best[1])
        sha256 = self.trainer.finalize()
        validation, test = (
            None if dataset is None else self.trainer.score(dataset) for dataset in (data.validation, data.test)
        )
        reported, epoch = test or validation, position.epoch if validation is None else position.best_epoch + 1
        result = TrainingResult(
            net=self.name,
            data=data.name,
            recipe=self.recipe.to_dict(),
            epochs=position.epoch,
            epoch=epoch,
            steps=position.epoch * self.steps_per_epoch,
            seconds=position.seconds,
            loss=self.log.lines[epoch - 1]["loss"],
            validation_top1=_metric(validation, "top1"),
            test_top1=_metric(test, "top1"),
            confusion=reported.confusion if reported else None,
            classes=data.classes,
            sha256=sha256,
            weights=str(self.folder / "weights.safetensors"),
            validation_map50=_metric(validation, "map50"),
            test_map50=_metric(test, "map50"),
            precisions=reported.precisions if reported else (),
        )
        if isinstance(self.net, Net):
            self.net.lineage = trained_lineage(self.net, result, data)
        else:
            adopt(self.net, trained_user_lineage(self.net, result, data, self.trainer.net_with_loss.probabilities))
        if self.world.is_main:
            write_result(self.net, result, self.folder)
        self.world.barrier()
        return result

    def _save(self, folder: Path, keep: int = 2) -> None:
        if not self.trainer.is_finite():
            raise self._failure("weights are not finite")
        if self.world.is_main:
            content = {"run": self.identity, "position": asdict(self.position), "lines": self.log.lines}
            self.log.write()
            checkpoints.save(folder, self._steps_done(), content | self.trainer.state_dict(), keep)
        self.world.barrier()

    def _resume(self) -> None:
        latest = checkpoints.load_latest(self.folder, self._check)
        if latest is None:
            if self.longer:
                raise TrainingError(f"{self.folder} has no checkpoint, from which a finished run could be continued")
            return
        _, content = latest
        self.trainer.load_state_dict(content)
        self.position, self.log.lines = Position(**content["position"]), content["lines"]

    def _check(self, path: Path, content: dict[str, Any]) -> None:
        """Check the content of a checkpoint.

        Raises:
            SchemaError: It is damaged.
            TrainingError: It is of another run.
        """
        if not {"run", "position", "lines"} <= content.keys():
            raise SchemaError("is no checkpoint of a run")
        check_identity(path, to_type(dict[str, Any], content["run"]), self.identity, self.longer)
        position = to_type(Position, content["position"])
        done = position.epoch * self.steps_per_epoch + position.step
        if not (0 <= position.step < self.steps_per_epoch and 0 <= done <= self.steps_per_epoch * self.recipe.epochs):
            raise SchemaError(f"has step {position.step} of epoch {position.epoch}, which the run does not have")
        if path.name != checkpoints.file_name(done) or position.seconds < 0:
            raise SchemaError("has another step than its name says")
        if not -1 <= position.best_epoch < max(position.epoch, 1):
            raise SchemaError("has its best epoch in the future")
        check_lines(content["lines"], position.epoch)
        self.trainer.check(content)

    def _steps_done(self) -> int:
        return self.position.epoch * self.steps_per_epoch + self.position.step

    def _failure(self, problem: str, photos: str = "") -> TrainingError:
        position, newest = self.position, sorted(self.folder.glob(CHECKPOINTS))
        kept = f"the last good checkpoint is {newest[-1]}" if newest else "no checkpoint has been written yet"
        return TrainingError(f"{problem} at step {position.step + 1} of epoch {position.epoch + 1}{photos}; {kept}")


def _metric(score: Score | None, name: str) -> float | None:
    """Metric of a score, if it is the one of this name."""
    return score.metric if score is not None and score.name == name else None

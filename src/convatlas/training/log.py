"""Log the metrics of each epoch, as JSON lines and optionally for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convatlas.base.errors import TrainingError
from convatlas.training.metrics import Score
from convatlas.training.run_folder import write_lines


class MetricsLog:
    """The log of a run; checkpoints store its lines too, so that a resumed run does not repeat any.

    Args:
        folder: Folder of the run.
        tensorboard: Whether to write TensorBoard's file too.

    Attributes:
        lines: One entry for each finished epoch.

    Raises:
        TrainingError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, tensorboard: bool):
        self.path = folder / "metrics.jsonl"
        self.lines: list[dict[str, Any]] = []
        self.board: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise TrainingError("tensorboard is not installed: pip install tensorboard") from None
            self.board = SummaryWriter(str(folder / "tensorboard"))

    def add_epoch(self, epoch: int, lr: float, loss: float, seconds: float, validation: Score | None) -> None:
        """Add the line of an epoch; `epoch` counts from 0, the line from 1."""
        line = {"epoch": epoch + 1, "lr": lr, "loss": loss, "seconds": round(seconds, 3)}
        if validation is not None:
            line |= {"validation_loss": validation.loss, f"validation_{validation.name}": validation.metric}
        self.lines.append(line)
        if self.board is not None:
            for name, value in line.items():
                self.board.add_scalar(name, value, epoch + 1)
            self.board.flush()

    def write(self) -> None:
        """Write metrics.jsonl."""
        write_lines(self.path, self.lines)

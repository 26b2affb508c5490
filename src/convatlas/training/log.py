"""What a run tells about itself while it goes on: a line of JSON an epoch, and TensorBoard if it is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convatlas.base.errors import TrainingError
from convatlas.training.checkpoints import write_lines
from convatlas.training.metrics import Score


class Journal:
    """The lines of a run; its checkpoints hold them too, so that none comes twice.

    Args:
        folder: Of the run.
        tensorboard: Whether TensorBoard's file is written too.

    Raises:
        TrainingError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, tensorboard: bool):
        self.path, self.lr = folder / "metrics.jsonl", 0.0
        self.lines: list[dict[str, Any]] = []
        self.board: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise TrainingError("tensorboard is not installed: pip install tensorboard") from None
            self.board = SummaryWriter(str(folder / "tensorboard"))

    def epoch(self, epoch: int, loss: float, seconds: float, held: Score | None) -> None:
        """Adds the line of an epoch, which is counted from 0 here and from 1 in the line."""
        line = {"epoch": epoch + 1, "lr": self.lr, "loss": loss, "seconds": round(seconds, 3)}
        if held is not None:
            line |= {"validation_loss": held.loss, "validation_top1": held.top1}
        self.lines.append(line)
        if self.board is not None:
            for name, value in line.items():
                self.board.add_scalar(name, value, epoch + 1)
            self.board.flush()

    def write(self) -> None:
        """Writes the lines."""
        write_lines(self.path, self.lines)

"""What came of a training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from convatlas.base.errors import TrainingError
from convatlas.base.records import Provenance, Record


@dataclass(frozen=True)
class Training(Record):
    """One training, done.

    Attributes:
        net: The card's name, or the class of the user's own net.
        data: The data set.
        recipe: All settings.
        epochs: How many were run; fewer than the recipe's where it stopped early.
        epoch: Whose weights these are, from 1: the last, or the best on the validation part. Never chosen by the test.
        steps: How many were taken.
        seconds: Of training, interruptions aside.
        loss: On the training photos in that epoch, as they were shown.
        validation_top1: Accuracy in percent; None where there is no such part.
        test_top1: Likewise.
        confusion: On the test photos, or else those of validation: photos of class i taken for class j, at [i][j].
        classes: Names.
        sha256: Of the weights, and of their running mean if there is one.
        weights: The file that holds them.
    """

    net: str
    data: str
    recipe: Mapping[str, Any]
    epochs: int
    epoch: int
    steps: int
    seconds: float
    loss: float
    validation_top1: float | None
    test_top1: float | None
    confusion: tuple[tuple[int, ...], ...] | None
    classes: tuple[str, ...]
    sha256: str
    weights: str

    def __str__(self) -> str:
        found = [f"{self.net} on {self.data}, epoch {self.epoch} of {self.epochs} ({self.seconds:.0f} s)"]
        if self.validation_top1 is not None:
            found.append(f"validation {self.validation_top1:.2f} %")
        if self.test_top1 is not None:
            found.append(f"test {self.test_top1:.2f} % (error {100 - self.test_top1:.2f} %)")
        return f"{', '.join(found)}: {self.weights}\nsha256 {self.sha256}"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The result that a run wrote.

        Raises:
            TrainingError: The file is damaged.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            made = Provenance(**data.pop("made"))
            confusion = data.pop("confusion")
            rows = None if confusion is None else tuple(map(tuple, confusion))
            return cls(made=made, confusion=rows, classes=tuple(data.pop("classes")), **data)
        except (OSError, ValueError, KeyError, TypeError):
            raise TrainingError(f"{path} is damaged: it is no result of a training") from None

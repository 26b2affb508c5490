"""Record of a finished training, and the lineage of the trained net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import nn

from convatlas.base.errors import TrainingError
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import SchemaError, read_json, to_type
from convatlas.base.fingerprint import fingerprint
from convatlas.base.records import Record
from convatlas.training.data.splits import Splits
from convatlas.weights.lineage import Lineage
from convatlas.weights.user_weights import UserLineage


@dataclass(frozen=True)
class TrainingResult(Record):
    """Result of a finished training.

    Attributes:
        net: The card's name; of a user's own net its name, as `package.module:callable`, or its class.
        data: Name of the data set.
        recipe: All settings.
        epochs: Number of epochs trained; fewer than the recipe's after early stopping.
        epoch: Epoch of the weights, from 1: the best on the validation split, or the last one without such a split.
        steps: Number of steps taken.
        seconds: Training time, without interruptions.
        loss: Mean training loss of that epoch, on augmented photos.
        validation_top1: Validation accuracy in percent; None without a validation split.
        test_top1: Test accuracy in percent; None without a test split.
        confusion: Confusion matrix on the test split, without one on the validation split: photos of class i
            classified as class j, at [i][j]; None for a detector.
        classes: Class names.
        sha256: Hash of the weights, and of their moving average if there is one.
        weights: Path of the weight file.
        validation_map50: Mean average precision of a detector at IoU 0.5 on the validation split, in percent.
        test_map50: The same on the test split.
        precisions: Average precision of each class on the test split, without one on the validation split, 0 to 1; None
            for a class without objects.
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
    validation_map50: float | None = None
    test_map50: float | None = None
    precisions: tuple[float | None, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.net} on {self.data}, epoch {self.epoch} of {self.epochs} ({self.seconds:.0f} s)"]
        if self.validation_top1 is not None:
            parts.append(f"validation {self.validation_top1:.2f} %")
        if self.test_top1 is not None:
            parts.append(f"test {self.test_top1:.2f} % (error {100 - self.test_top1:.2f} %)")
        for split, value in (("validation", self.validation_map50), ("test", self.test_map50)):
            if value is not None:
                parts.append(f"{split} mAP {value:.2f} % at IoU 0.5")
        return f"{', '.join(parts)}: {self.weights}\nsha256 {self.sha256}"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the result that a run wrote.

        Raises:
            TrainingError: The file is damaged.
        """
        try:
            result = to_type(cls, read_json(path))
            result.check()
            return result
        except OSError as error:
            raise TrainingError(f"{path} cannot be read: {reason(error)}") from None
        except SchemaError as error:
            raise TrainingError(f"{path} is not the result of a training: it {error}") from None

    def check(self) -> None:
        """Check that the figures fit each other; raise a SchemaError if they do not."""
        rates = [self.validation_top1, self.test_top1, self.validation_map50, self.test_map50]
        rates += [None if value is None else 100 * value for value in self.precisions]
        count, matrix = len(self.classes), self.confusion
        if not 1 <= self.epoch <= self.epochs or not self.epochs <= self.steps or self.seconds < 0:
            raise SchemaError("has numbers of epochs and steps that contradict each other")
        if not all(rate is None or 0 <= rate <= 100 for rate in rates):
            raise SchemaError("has accuracies that are no percentages")
        if len(self.precisions) not in (0, count):
            raise SchemaError(f"has precisions that do not fit its {count} classes")
        if matrix is not None and (len(matrix) != count or any(len(row) != count or min(row) < 0 for row in matrix)):
            raise SchemaError(f"has a confusion matrix that does not fit its {count} classes")


def trained_lineage(net: nn.Module, result: TrainingResult, data: Splits) -> Lineage:
    """Lineage of a trained net of the atlas."""
    return Lineage(**_provenance(net, result, data))


def trained_user_lineage(net: nn.Module, result: TrainingResult, data: Splits, probabilities: str) -> UserLineage:
    """Lineage of a trained net of the user."""
    return UserLineage(**_provenance(net, result, data), probabilities=probabilities)


def _provenance(net: nn.Module, result: TrainingResult, data: Splits) -> dict[str, Any]:
    top1 = result.validation_top1 if result.test_top1 is None else result.test_top1
    deslanted = ", its digits set upright first" if result.recipe["deslant"] else ""
    return {
        "name": f"own/{data.name}",
        "net": result.net,
        "source": f"trained here on {data.name}{deslanted}, {result.epochs} epochs, seed {result.recipe['seed']}",
        "licence": "",
        "hash": fingerprint(net.state_dict()),
        "preprocessing": data.preprocessing,
        "class_names": data.classes,
        "top1": "" if top1 is None else f"{top1:.2f}",
    }

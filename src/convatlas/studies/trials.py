"""One training of a comparison: a net with some genes, on a limited number of photos, with one seed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convatlas.anatomy.measure.measure import measure
from convatlas.base.errors import TrainingError
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import SchemaError, read_json, to_type
from convatlas.base.untouched import evaluating
from convatlas.nets.net import Net
from convatlas.training.data.dataset import TrainingData, index_batches
from convatlas.training.data.splits import Splits, load_splits
from convatlas.training.loop import fit
from convatlas.training.recipe import Recipe
from convatlas.training.run_folder import read_lines, write_file
from convatlas.training.seeding import Stream, generator
from convatlas.training.train import build_net

BATCH = 500


@dataclass(frozen=True)
class Trial:
    """A training.

    Attributes:
        variant: Name of the variant, such as "pooling=max".
        net: Name of the net.
        genes: Genes that differ from the published ones.
        data: Data set, as in `train`.
        photos: Number of training photos; None for all.
        recipe: Recipe, with the seed.
        size: Side of the photos; None for the net's own.
    """

    variant: str
    net: str
    genes: Mapping[str, object]
    data: str
    photos: int | None
    recipe: Recipe
    size: int | None = None

    def folder(self, output: Path) -> Path:
        """Return the folder of the run below `output`."""
        name = f"{self.net.rpartition(':')[2]}-{self.variant}-{self.recipe.seed}"
        return output / "".join(character if character.isalnum() or character in "._" else "-" for character in name)

    def settings(self) -> dict[str, Any]:
        """Return what identifies the run, in plain values."""
        fields: dict[str, Any] = {
            "variant": self.variant,
            "net": self.net,
            "genes": dict(self.genes),
            "data": self.data,
        }
        fields |= {"photos": self.photos, "recipe": self.recipe.to_dict(), "size": self.size}
        return dict(json.loads(json.dumps(fields)))


@dataclass(frozen=True)
class Outcome:
    """Outcome of a finished trial.

    Attributes:
        settings: `Trial.settings` of the trial.
        accuracy: Test accuracy in percent.
        training_accuracy: Accuracy in percent on the training photos, without augmentation.
        losses: Mean training loss of each epoch.
        tested: Number of test photos.
        correct: Whether each test photo is classified correctly: bits in hexadecimal, the first photo's is the highest.
        parameters: Number of parameters.
        macs: Multiply-accumulates for a photo.
        seconds: Training time.
        sha256: Hash of the weights.
    """

    settings: Mapping[str, Any]
    accuracy: float
    training_accuracy: float
    losses: tuple[float, ...]
    tested: int
    correct: str
    parameters: int
    macs: int
    seconds: float
    sha256: str

    @property
    def seed(self) -> int:
        """The seed of the training."""
        return int(self.settings["recipe"]["seed"])

    def bits(self) -> NDArray[np.bool_]:
        """Return whether each test photo is classified correctly (photos,)."""
        packed = np.frombuffer(bytes.fromhex(self.correct), np.uint8)
        return np.unpackbits(packed, count=self.tested).astype(bool)


def run(trial: Trial, output: Path) -> Outcome:
    """Run or resume a trial and write its outcome to its folder; read the outcome if the trial is finished.

    Raises:
        ConvAtlasError: It cannot run, or its folder holds a run of other settings.
    """
    folder = trial.folder(output)
    if (folder / "outcome.json").exists():
        return _stored(folder / "outcome.json", trial)
    net, size = build_net(trial.net, trial.data, genes=trial.genes, size=trial.size, seed=trial.recipe.seed)
    data = limited(load_splits(trial.data, net, trial.recipe, size), trial.photos, trial.recipe.seed)
    if data.test is None:
        raise TrainingError(f"{trial.data} has no test photos, on which nets could be compared")
    anatomy = measure(net) if isinstance(net, Net) else measure(net, size=size, channels=1)
    trained = fit(net, data, trial.recipe, folder, resume=True, device="cpu")
    bits = correct(net, data.test)
    outcome = Outcome(
        settings=trial.settings(),
        accuracy=100 * float(bits.mean()),
        training_accuracy=100 * float(correct(net, data.train).mean()),
        losses=tuple(line["loss"] for line in read_lines(folder / "metrics.jsonl")),
        tested=len(bits),
        correct=np.packbits(bits).tobytes().hex(),
        parameters=anatomy.parameters,
        macs=anatomy.macs,
        seconds=trained.seconds,
        sha256=trained.sha256,
    )
    write_file(folder / "outcome.json", (json.dumps(dataclasses.asdict(outcome)) + "\n").encode())
    return outcome


def _stored(path: Path, trial: Trial) -> Outcome:
    """Read the outcome of a finished trial; raise a TrainingError if it is damaged or of other settings."""
    try:
        outcome = to_type(Outcome, read_json(path))
        if len(outcome.bits()) != outcome.tested:
            raise SchemaError("has another number of photos than it says")
    except (OSError, SchemaError, ValueError) as error:
        problem = reason(error) if isinstance(error, OSError | SchemaError) else f"holds no outcome ({error})"
        raise TrainingError(f"{path} is damaged: it {problem}; delete it, and the run is repeated") from None
    if outcome.settings != trial.settings():
        raise TrainingError(f"{path.parent} holds a run of another recipe; move it away")
    return outcome


def limited(data: Splits, photos: int | None, seed: int) -> Splits:
    """Return the splits with `photos` of the training photos, drawn for each seed, so that seeds differ in them too.

    Raises:
        TrainingError: There are fewer.
    """
    if photos is None:
        return data
    count = len(data.train)
    if photos > count:
        raise TrainingError(f"photos is at most {count}, the number of training photos; got {photos}")
    drawn = torch.from_numpy(generator(Stream.SPLIT, seed, photos).permutation(count)[:photos]).sort().values
    return replace(data, train=data.train.subset(drawn), fingerprint=f"{data.fingerprint}, {photos} photos")


@torch.no_grad()
def correct(net: nn.Module, dataset: TrainingData) -> NDArray[np.bool_]:
    """Return whether the net classifies each photo correctly (photos,)."""
    batches = index_batches(torch.arange(len(dataset)), BATCH)
    with evaluating(net):
        answers: list[Tensor] = [net(x).argmax(1) == labels for x, labels in dataset.eval_batches(batches)]
    right: NDArray[np.bool_] = torch.cat(answers).numpy()
    return right

"""Boosted LeNet-4 (Drucker, Schapire & Simard 1993): each net learns digits that are hard for the nets before it.

Half of the second net's photos are misclassified by the first, half are not; the third net's are those on which the
first two disagree. As few digits are misclassified, hard ones are searched for among distorted digits. Each net is
trained by the usual loop in a folder of its own, so that the whole can be interrupted and resumed.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.base.errors import TrainingError
from convatlas.base.files.torch_files import TorchFileError, read_torch
from convatlas.base.fingerprint import fingerprint
from convatlas.nets.build import build
from convatlas.nets.families.lenet import BoostedLeNet
from convatlas.nets.net import Net
from convatlas.training.data.dataset import ImageDataset, index_batches
from convatlas.training.data.in_memory import InMemoryDataset
from convatlas.training.data.splits import Splits
from convatlas.training.loop import fit
from convatlas.training.recipe import Recipe
from convatlas.training.run_folder import write_file

HARD_PHOTOS = 20_000
"""Number of photos that the second and the third net are each trained on."""

MAX_PASSES = 40
"""Largest number of passes over all digits, distorted differently in each, to search for hard photos."""

SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.375, 0.5, 0.75, 1.0)
"""Shares of the digits that are passed on to nets 2 and 3. 0.375 gives 1.75 nets for a digit, as in the paper."""

PUBLISHED_SHARE = 0.375
SEARCH_EPOCH = 1_000_000
"""Epoch that seeds the first search's distortions (twice this for the second), far from those of training."""


@dataclass(frozen=True)
class OperatingPoint:
    """The boosted net at one threshold.

    Attributes:
        requested: Share of the held-out digits that the threshold was chosen to pass on to nets 2 and 3.
        threshold: Margin between the first net's two largest outputs below which a digit is passed on.
        share: Share of the test digits that is passed on.
        error: Test error in percent.
        cost: Mean number of nets evaluated for a digit.
        seconds: CPU time for all test digits; the smallest of three measurements.
    """

    requested: float
    threshold: float
    share: float
    error: float
    cost: float
    seconds: float


def train_boosted(
    data: Splits,
    recipe: Recipe,
    genes: Mapping[str, object],
    folder: Path,
    hard_photos: int = HARD_PHOTOS,
    redistort: bool = False,
) -> tuple[BoostedLeNet, list[OperatingPoint]]:
    """Train the three nets in turn, choose the threshold, and measure the curve of error against share.

    Args:
        data: Digits; the threshold is chosen on the validation split.
        recipe: Recipe of each net's training; it also says how far digits are distorted.
        genes: Genes of the nets.
        folder: Folder of this run, which is resumed if it was interrupted.
        hard_photos: Number of photos to train nets 2 and 3 on.
        redistort: Whether to distort these photos again in each epoch.

    Returns:
        The net with the threshold of `PUBLISHED_SHARE`, and the curve.

    Raises:
        TrainingError: Nothing is held out, or a training fails as in `fit`.
    """
    if not (
        isinstance(data.train, InMemoryDataset)
        and isinstance(data.validation, ImageDataset)
        and isinstance(data.test, ImageDataset)
    ):
        raise TrainingError("boosting needs digits in memory, some held out (val_split) and some to test with")
    boosted = build("boosted_lenet4", channels=1, genes=genes, seed=recipe.seed)
    assert isinstance(boosted, BoostedLeNet)
    nets: list[Net] = []
    for number in (1, 2, 3):
        net = build("lenet4", channels=1, genes=genes, seed=3 * recipe.seed + number - 1)
        train, settings = data.train, recipe
        if number > 1:
            settings = replace(recipe, distort=recipe.distort if redistort else 0.0, val_split=0.0)
            photos, labels = _load_or_find(data.train, nets, hard_photos, folder / f"photos{number}.pt")
            train = InMemoryDataset(photos, labels, settings, data.train.background)
            # As many steps as the first net took, however few the photos are.
            repeats = len(data.train.labels) / len(train.labels)
            settings = replace(settings, epochs=max(1, round(recipe.epochs * repeats)))
        splits = replace(data, train=train, validation=None, fingerprint=f"{data.fingerprint}, net {number} of three")
        fit(net, splits, settings, folder / f"net{number}", resume=True, device="cpu")
        nets.append(net)
        getattr(boosted, f"net{number}").load_state_dict(net.state_dict())
    for number in (2, 3):
        (folder / f"photos{number}.pt").unlink(missing_ok=True)
    boosted.eval()
    curve = error_curve(boosted, data.validation, data.test)
    published = next(point for point in curve if point.requested == PUBLISHED_SHARE)
    boosted.threshold = published.threshold
    lineage, top1 = nets[0].lineage, f"{100 - published.error:.2f}"
    boosted.lineage = replace(lineage, net=boosted.card.name, hash=fingerprint(boosted.state_dict()), top1=top1)
    return boosted, curve


def _load_or_find(train: InMemoryDataset, nets: Sequence[nn.Module], count: int, path: Path) -> tuple[Tensor, Tensor]:
    """Load hard photos and labels from `path`, or find and save them there, so that a resumed run need not search."""
    # What is damaged is searched for again.
    with suppress(OSError, TorchFileError):
        match read_torch(path):
            case (Tensor() as photos, Tensor() as labels) if photos.ndim == 4 and labels.shape == photos.shape[:1]:
                return photos, labels
    photos, labels = find_hard_photos(train, nets, count)
    data = io.BytesIO()
    torch.save((photos, labels), data)
    write_file(path, data.getvalue())
    return photos, labels


@torch.no_grad()
def find_hard_photos(train: InMemoryDataset, nets: Sequence[nn.Module], count: int) -> tuple[Tensor, Tensor]:
    """Find distorted digits for the next net: half hard, half easy for one net, or those on which two nets disagree.

    Returns:
        Photos (count, C, H, W) and labels (count,); fewer if `MAX_PASSES` passes do not yield as many.

    Raises:
        TrainingError: No hard digit was found.
    """
    photos: list[Tensor] = []
    labels: list[Tensor] = []
    for number in range(MAX_PASSES):
        batches = index_batches(torch.arange(len(train.labels)), 1000)
        for indices, (x, _) in zip(
            batches, train.train_batches(batches, SEARCH_EPOCH * len(nets) + number), strict=True
        ):
            predictions, true = [net(x).argmax(1) for net in nets], train.labels[indices]
            hard = predictions[0] != (true if len(nets) == 1 else predictions[1])
            selected = hard.nonzero()[:, 0]
            if len(nets) == 1:
                selected = torch.cat([selected, (~hard).nonzero()[: len(selected), 0]])
            photos.append(x[selected])
            labels.append(true[selected])
        if sum(map(len, labels)) >= count:
            break
    if not sum(map(len, labels)):
        raise TrainingError(f"no digit of {MAX_PASSES} x {len(train.labels)} distorted ones is hard")
    return torch.cat(photos)[:count], torch.cat(labels)[:count]


@torch.no_grad()
def error_curve(boosted: BoostedLeNet, validation: ImageDataset, test: ImageDataset) -> list[OperatingPoint]:
    """Measure error and cost for each of `SHARES` of the digits passed on to nets 2 and 3."""
    ((x, _),) = validation.eval_batches([torch.arange(len(validation.labels))])
    best, second = boosted.net1(x).topk(2, 1).values.unbind(1)
    margins = (best - second).sort().values
    curve = []
    for requested in SHARES:
        index = round(requested * len(margins))
        # Digits with a smaller margin are passed on: none of the held-out ones, or `index` of them, or all.
        boosted.threshold = float(margins[index]) if index < len(margins) else float("inf")
        predictions, seconds = [], float("inf")
        for _ in range(3):
            batches = index_batches(torch.arange(len(test.labels)), 500)
            started = time.process_time()
            predictions = [boosted.predict(photos) for photos, _ in test.eval_batches(batches)]
            seconds = min(seconds, time.process_time() - started)
        wrong = torch.cat([prediction.classes for prediction in predictions]) != test.labels
        share = 1 - float(torch.cat([prediction.skipped for prediction in predictions]).double().mean())
        error = 100 * float(wrong.double().mean())
        curve.append(OperatingPoint(requested, boosted.threshold, share, error, 1 + 2 * share, seconds))
    return curve

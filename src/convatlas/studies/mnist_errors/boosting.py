"""Boosted LeNet-4 (Drucker, Schapire & Simard 1993): each net is trained on what those before find hard.

The second net's photos are half such as the first gets wrong and half such as it gets right, the third's those on which
the two disagree. So few are wrong that they are sought among distorted digits. Each net is one training of the usual
loop in a folder of its own, so that the whole can be stopped and resumed.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.base.errors import TrainingError
from convatlas.base.fingerprint import fingerprint
from convatlas.nets.build import build
from convatlas.nets.families.lenet import BoostedLeNet
from convatlas.nets.net import Net
from convatlas.training.checkpoints import write
from convatlas.training.data.datasets import Parts
from convatlas.training.data.in_memory import Examples, InMemory, batches
from convatlas.training.loop import fit
from convatlas.training.recipe import Recipe

HARD = 20_000
"""Photos that the second and the third net are trained on."""

PASSES = 40
"""Times that all digits are distorted anew at most to find them."""

SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.375, 0.5, 0.75, 1.0)
"""Of the digits that go on to nets 2 and 3. With 0.375 a photo costs 1.75 nets, the paper's average."""

PUBLISHED_SHARE = 0.375
STREAM = 1_000_000
"""From this epoch on, and from twice it, are the distortions among which is sought: none that a net was trained on."""


@dataclass(frozen=True)
class Point:
    """The boosted net where one share of the digits goes on.

    Attributes:
        wanted: The share that was asked for, of the held-out digits.
        threshold: By how much the first net's best output has to lead; chosen on the held-out digits.
        share: Of the test digits that went on.
        error: On the test digits, in percent.
        cost: Nets run a photo.
        seconds: Of the processor, to answer all test digits; the least of three times.
    """

    wanted: float
    threshold: float
    share: float
    error: float
    cost: float
    seconds: float


def boosted(
    data: Parts, recipe: Recipe, genes: Mapping[str, object], folder: Path, hard: int = HARD, anew: bool = False
) -> tuple[BoostedLeNet, list[Point]]:
    """Trains the three nets in turn, sets the threshold, and measures the curve of error against share.

    Args:
        data: With photos held out, by which the threshold is chosen.
        recipe: Of each net's training; it says how far digits are distorted.
        genes: Of the nets.
        folder: Of this run; what is there already is taken up.
        hard: How many photos nets 2 and 3 are trained on.
        anew: Whether those are distorted again whenever they are shown.

    Returns:
        The net with the threshold of `PUBLISHED_SHARE`, and the curve.

    Raises:
        TrainingError: Nothing is held out; or as `fit`.
    """
    if data.validation is None or data.test is None or not isinstance(data.train, InMemory):
        raise TrainingError("boosting needs digits in memory, some held out (val_split) and some to test with")
    whole = build("boosted_lenet4", channels=1, genes=genes, seed=recipe.seed)
    assert isinstance(whole, BoostedLeNet)
    nets: list[Net] = []
    for number in (1, 2, 3):
        net = build("lenet4", channels=1, genes=genes, seed=3 * recipe.seed + number - 1)
        train, settings = data.train, recipe
        if number > 1:
            settings = replace(recipe, distort=recipe.distort if anew else 0.0, val_split=0.0)
            photos, labels = _hard(data.train, nets, hard, folder / f"photos{number}.pt")
            train = InMemory(photos, labels, settings, data.train.paper)
            # As many steps as the first net took, however few the photos are.
            repeats = len(data.train.labels) / len(train.labels)
            settings = replace(settings, epochs=max(1, round(recipe.epochs * repeats)))
        part = replace(data, train=train, validation=None, fingerprint=f"{data.fingerprint}, net {number} of three")
        fit(net, part, settings, folder / f"net{number}", resume=True, device="cpu")
        nets.append(net)
        getattr(whole, f"net{number}").load_state_dict(net.state_dict())
    for number in (2, 3):
        (folder / f"photos{number}.pt").unlink(missing_ok=True)
    whole.eval()
    points = curve(whole, data.validation, data.test)
    chosen = next(point for point in points if point.wanted == PUBLISHED_SHARE)
    whole.threshold = chosen.threshold
    lineage, top1 = nets[0].lineage, f"{100 - chosen.error:.2f}"
    whole.lineage = replace(lineage, net=whole.card.name, hash=fingerprint(whole.state_dict()), top1=top1)
    return whole, points


def _hard(train: InMemory, nets: Sequence[nn.Module], count: int, path: Path) -> tuple[Tensor, Tensor]:
    """Photos and labels for the next net; kept at `path`, so that a run that was stopped need not seek again."""
    if path.exists():
        photos, labels = torch.load(path, weights_only=True)
        return photos, labels
    photos, labels = hard_photos(train, nets, count)
    data = io.BytesIO()
    torch.save((photos, labels), data)
    write(path, data.getvalue())
    return photos, labels


@torch.no_grad()
def hard_photos(train: InMemory, nets: Sequence[nn.Module], count: int) -> tuple[Tensor, Tensor]:
    """Distorted photos that are hard for one net, and as many easy ones; or those on which two nets disagree.

    Raises:
        TrainingError: Among `PASSES` times all digits there are none.
    """
    found: list[Tensor] = []
    labels: list[Tensor] = []
    for number in range(PASSES):
        plan = batches(torch.arange(len(train.labels)), 1000)
        for rows, x in zip(plan, train.shown(plan, STREAM * len(nets) + number), strict=True):
            answers, true = [net(x).argmax(1) for net in nets], train.labels[rows]
            hard = answers[0] != (true if len(nets) == 1 else answers[1])
            chosen = hard.nonzero()[:, 0]
            if len(nets) == 1:
                chosen = torch.cat([chosen, (~hard).nonzero()[: len(chosen), 0]])
            found.append(x[chosen])
            labels.append(true[chosen])
        if sum(map(len, labels)) >= count:
            break
    if not sum(map(len, labels)):
        raise TrainingError(f"no digit of {PASSES} x {len(train.labels)} distorted ones is hard")
    return torch.cat(found)[:count], torch.cat(labels)[:count]


@torch.no_grad()
def curve(whole: BoostedLeNet, held: Examples, test: Examples) -> list[Point]:
    """Error and cost by the share of digits that go on to nets 2 and 3."""
    (x,) = held.seen([torch.arange(len(held.labels))])
    best, second = whole.net1(x).topk(2, 1).values.unbind(1)
    leads = (best - second).sort().values
    points = []
    for wanted in SHARES:
        place = round(wanted * len(leads))
        # Those whose lead is below it go on: none, so many, or all.
        whole.threshold = float(leads[place]) if place < len(leads) else float("inf")
        predictions, seconds = [], float("inf")
        for _ in range(3):
            plan = batches(torch.arange(len(test.labels)), 500)
            started = time.process_time()
            predictions = [whole.predict(photos) for photos in test.seen(plan)]
            seconds = min(seconds, time.process_time() - started)
        wrong = torch.cat([one.classes for one in predictions]) != test.labels
        share = 1 - float(torch.cat([one.skipped for one in predictions]).double().mean())
        error = 100 * float(wrong.double().mean())
        points.append(Point(wanted, whole.threshold, share, error, 1 + 2 * share, seconds))
    return points

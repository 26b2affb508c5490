"""The runs of the study: nets, digits and recipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from convatlas.nets.build import build
from convatlas.studies.capsules.nets import QUARTER, Baseline, NarrowCapsNet, PairCapsNet
from convatlas.training.recipe import Recipe
from convatlas.weights.lineages.own import SMALL


@dataclass(frozen=True)
class Row:
    """A row of the study's table.

    Attributes:
        key: Its name in files and options.
        title: What is trained.
        make: Function seed -> net with random weights.
        recipe: Recipe of its training.
        photos: Number of training photos: the first ones of MNIST, or pairs of its digits.
        seeds: Largest number of seeds.
        printed: Printed error in percent, of the paper's net on all digits; None if none is printed.
        pairs: Whether its photos show two digits.
    """

    key: str
    title: str
    make: Callable[[int], nn.Module]
    recipe: Recipe
    photos: int = 60_000
    seeds: int = 1
    printed: float | None = None
    pairs: bool = False

    def settings(self, seed: int, quick: bool) -> tuple[Recipe, int]:
        """Recipe and number of photos of one run; if quick, one epoch with a tenth of the photos, at most 2000."""
        recipe = replace(self.recipe, seed=seed)
        return (replace(recipe, epochs=1), min(self.photos // 10, 2000)) if quick else (recipe, self.photos)


PAPER = Recipe(
    epochs=10, batch_size=128, opt="adamw", lr=1e-3, sched="cosine", shift=2, amp="bfloat16", checkpoint_steps=50
)
"""The paper's recipe (Adam, shifts of up to two pixels) for ten epochs, with a cosine where it has "exponential" decay.

Without weight decay, AdamW is Adam.
"""

SHORT = replace(PAPER, epochs=6, lr=2e-3)
TINY = replace(PAPER, lr=3e-3, amp="none")
MATRIX = replace(PAPER, epochs=2, batch_size=32, lr=3e-3, clip_grad=1.0, amp="none")
BUNDLED = "own/mnist_small"
"""Name of the weights of the row "small", which are bundled with the package."""

PLAIN: dict[str, object] = {"decoder": "none"}
ONE_ROUND: dict[str, object] = {"iterations": 1}


def _capsnet(seed: int) -> nn.Module:
    return build("capsnet", channels=1, seed=seed)


def _quarter(seed: int) -> nn.Module:
    return NarrowCapsNet(seed, QUARTER)


def _quarter_plain(seed: int) -> nn.Module:
    return NarrowCapsNet(seed, QUARTER, PLAIN)


def _quarter_one_round(seed: int) -> nn.Module:
    return NarrowCapsNet(seed, QUARTER, ONE_ROUND)


def _quarter_one_round_plain(seed: int) -> nn.Module:
    return NarrowCapsNet(seed, QUARTER, ONE_ROUND | PLAIN)


def _small(seed: int) -> nn.Module:
    return NarrowCapsNet(seed, SMALL[BUNDLED])


def _matrix(seed: int) -> nn.Module:
    return build("matrix_capsnet_small", classes=10, channels=1, size=28, seed=seed)


def _pairs(seed: int) -> nn.Module:
    return PairCapsNet(seed, QUARTER)


def _baseline(seed: int) -> nn.Module:
    return Baseline(4, seed)


ROWS = (
    Row("capsnet", "CapsNet", _capsnet, PAPER, printed=0.25),
    Row("baseline", "baseline, quarter width", _baseline, PAPER, printed=0.39),
    Row("rounds3", "quarter width, 3 rounds, reconstruction", _quarter, SHORT, 10_000, 3, 0.25),
    Row("rounds3_plain", "quarter width, 3 rounds", _quarter_plain, SHORT, 10_000, 3, 0.35),
    Row("rounds1", "quarter width, 1 round, reconstruction", _quarter_one_round, SHORT, 10_000, 3, 0.29),
    Row("rounds1_plain", "quarter width, 1 round", _quarter_one_round_plain, SHORT, 10_000, 3, 0.34),
    Row("pairs", "pairs of digits, quarter width", _pairs, replace(PAPER, shift=0), 60_000, printed=5.2, pairs=True),
    Row("matrix", "matrix capsules, EM routing", _matrix, MATRIX, 12_800),
    Row("small", "CapsNet of 16 channels", _small, TINY, printed=0.25),
)
"""All rows; the longest runs are first."""

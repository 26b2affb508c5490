"""Pairs of overlapping digits, made from MNIST as the paper's MultiMNIST, but fewer (Sabour et al. 2017, section 6)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from convatlas.images.digits import Digits
from convatlas.images.preprocessing import Preprocessing
from convatlas.studies.capsules.nets import PAIR_SIZE, PAIRS
from convatlas.training.data.shifts import shift
from convatlas.training.data.splits import Splits
from convatlas.training.seeding import Stream, generator

REACH = 4
"""Largest shift of a digit, in pixels to each of the four sides."""

TEST_EPOCH = 1_000_000
"""Epoch that seeds the shifts of photos that are not trained on, far from those of training."""


class PairDataset:
    """Photos (3, 36, 36) of two digits of different classes: both together (the brighter pixel counts), and each alone.

    Which digits form a pair is fixed; both are shifted at random, in training again in each epoch.

    Args:
        photos: Digits (count, 1, 28, 28) in 0..1.
        classes: Their classes (count,).
        members: Indices of the digits of each pair (pairs, 2), of different classes.
        seed: Seed of the shifts.
    """

    def __init__(self, photos: Tensor, classes: Tensor, members: Tensor, seed: int):
        border = (PAIR_SIZE - photos.shape[2]) // 2
        self.photos, self.seed = F.pad(photos, (border,) * 4), seed
        # The digit of the smaller class comes first.
        order = classes[members].argsort(1)
        self.members = members.gather(1, order)
        numbers = {pair: number for number, pair in enumerate(PAIRS)}
        self.labels = torch.tensor([numbers[first, second] for first, second in classes[self.members].tolist()])

    def __len__(self) -> int:
        return len(self.labels)

    def train_batches(self, batches: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        drawn = generator(Stream.SHIFT, self.seed, epoch).integers(-REACH, REACH + 1, (len(self.labels), 2, 2))
        amounts = torch.from_numpy(drawn)
        for indices in batches:
            alone = [shift(self.photos[self.members[indices, place]], amounts[indices, place], 0.0) for place in (0, 1)]
            yield torch.cat([torch.maximum(*alone), *alone], 1), self.labels[indices]  # (N, 3, 36, 36), (N,)

    def eval_batches(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        return self.train_batches(batches, TEST_EPOCH)

    def subset(self, indices: Tensor) -> PairDataset:
        part = copy.copy(self)
        part.members, part.labels = self.members[indices], self.labels[indices]
        return part


def draw_members(classes: NDArray[np.uint8], count: int, seed: int) -> Tensor:
    """Draw `count` pairs of indices (count, 2) of digits of different classes; digits may be in several pairs."""
    random = generator(Stream.SPLIT, seed, len(classes))
    first = random.permutation(len(classes))
    first = np.resize(first, count)
    second = random.integers(len(classes), size=count)
    while len(same := np.flatnonzero(classes[first] == classes[second])):
        second[same] = random.integers(len(classes), size=len(same))
    return torch.from_numpy(np.stack([first, second], 1))


def load_pairs(digits: Digits, count: int, tests: int, seed: int) -> Splits:
    """Load `count` pairs of training digits and `tests` pairs of test digits."""
    splits = {}
    for name, photos, labels, pairs in (
        ("train", digits.train, digits.train_labels, count),
        ("test", digits.test, digits.test_labels, tests),
    ):
        x = torch.from_numpy(photos.astype(np.float32) / 255)[:, None]
        classes = torch.from_numpy(labels.astype(np.int64))
        splits[name] = PairDataset(x, classes, draw_members(labels, pairs, seed), seed)
    names = tuple(f"{first} and {second}" for first, second in PAIRS)
    preprocessing = Preprocessing((PAIR_SIZE, PAIR_SIZE), "squash", PAIR_SIZE, mean=(0.0,), std=(1.0,))
    fingerprint = f"{count} and {tests} pairs of mnist, seed {seed}"
    return Splits("pairs of mnist", splits["train"], None, splits["test"], names, preprocessing, fingerprint)

"""How often less than float32 gives float32's first answer, on photos where float32 is sure. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convatlas.engines.backends.session import Photos
from convatlas.engines.probabilities import MAPS

MARGIN = 0.2
"""By how much the largest probability must lead the second for float32 to be sure of it."""

LEAST = 0.99
"""The share of these photos on which a faster precision has to agree for "auto" to take it."""


@dataclass(frozen=True)
class Share:
    """On how many photos float32 was sure, and on what share of these the other has the same first answer."""

    sure: int
    share: float

    @property
    def holds(self) -> bool:
        """Whether it may stand in for float32; never where float32 was sure of nothing."""
        return self.sure > 0 and self.share >= LEAST

    def __add__(self, other: Share) -> Share:
        sure = self.sure + other.sure
        return Share(sure, (self.sure * self.share + other.sure * other.share) / sure if sure else 0.0)

    def __str__(self) -> str:
        return f"{100 * self.share:.1f} % of {self.sure} photos"


def agreement(right: Photos, other: Photos, map: str = "softmax") -> Share:
    """Of the outputs (N, classes) of two precisions; `map` makes probabilities of them, as `Card.probabilities`."""
    right, other = right.reshape(len(right), -1), other.reshape(len(other), -1)
    shares = MAPS[map](right)
    second, first = np.sort(shares, 1)[:, -2:].T if shares.shape[1] > 1 else (0 * shares[:, 0], shares[:, 0])
    sure = first - second > MARGIN
    same = right.argmax(1) == other.argmax(1)
    return Share(int(sure.sum()), float(same[sure].mean()) if sure.any() else 0.0)

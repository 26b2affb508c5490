"""Compare the top-1 classes of a reduced precision with float32's, on photos where float32 is sure. Needs no torch.

Two places act on too low an agreement: `export/quantize.py` puts layers of an int8 net back into float32, and
`search/reduced.py` refuses the precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convatlas.engines.probabilities import MAPS
from convatlas.engines.session import Float32Array

MARGIN = 0.2
"""Float32 is sure of its top-1 class if the highest probability exceeds the second by more than this."""

MIN_SHARE = 0.99
"""Least share of these photos on which a reduced precision has to agree for "auto" to choose it."""


@dataclass(frozen=True)
class Agreement:
    """Number of photos where float32 is sure, and the share of these on which the top-1 classes are equal."""

    sure: int
    share: float

    @property
    def holds(self) -> bool:
        """Whether the precision may replace float32; False if float32 is sure on none of the photos."""
        return self.sure > 0 and self.share >= MIN_SHARE

    def __add__(self, other: Agreement) -> Agreement:
        sure = self.sure + other.sure
        return Agreement(sure, (self.sure * self.share + other.sure * other.share) / sure if sure else 0.0)

    def __str__(self) -> str:
        return f"{100 * self.share:.1f} % of {self.sure} photos"


def agreement(float32: Float32Array, reduced: Float32Array, map: str = "softmax") -> Agreement:
    """Compare outputs (N, classes) in two precisions; `map` converts them to probabilities, as `Card.probabilities`."""
    float32, reduced = float32.reshape(len(float32), -1), reduced.reshape(len(reduced), -1)
    shares = MAPS[map](float32)
    second, first = np.sort(shares, 1)[:, -2:].T if shares.shape[1] > 1 else (0 * shares[:, 0], shares[:, 0])
    sure = first - second > MARGIN
    same = float32.argmax(1) == reduced.argmax(1)
    return Agreement(int(sure.sum()), float(same[sure].mean()) if sure.any() else 0.0)

"""Digits that are shifted or noisy, to test what a net tolerates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from convatlas.training.data.shifts import shift

PHOTO = 28


@dataclass(frozen=True)
class Change:
    """A change of test digits.

    Attributes:
        kind: "shift" or "noise".
        amount: Pixels of 28 in one of eight directions, or standard deviation of the noise, ink being 1.
    """

    kind: str
    amount: float

    @property
    def key(self) -> str:
        """Its name in results: "shift 2"."""
        return f"{self.kind} {self.amount:g}"

    def __call__(self, photos: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """Change photos (N, 28, 28); the same seed draws the same directions and noise."""
        random = np.random.default_rng([seed, len(photos)])
        if self.kind == "noise":
            noisy = photos + 255 * self.amount * random.standard_normal(photos.shape)
            return np.asarray(np.rint(noisy.clip(0, 255)), np.uint8)
        directions = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
        amounts = torch.tensor(directions)[random.integers(len(directions), size=len(photos))] * int(self.amount)
        moved = shift(torch.from_numpy(photos)[:, None], amounts, 0)[:, 0]
        return np.asarray(moved.numpy(), np.uint8)


SHIFTS = tuple(Change("shift", amount) for amount in (0, 1, 2, 3, 4))
NOISES = tuple(Change("noise", amount) for amount in (0.1, 0.2, 0.3, 0.5))
CHANGES: Mapping[str, Change] = {change.key: change for change in (*SHIFTS, *NOISES)}
"""All changes by their key; the first changes nothing."""

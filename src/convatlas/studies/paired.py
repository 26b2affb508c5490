"""Say which differences between nets are real: a paired test over seeds and photos, and Holm's correction.

Two nets are trained with the same seeds and tested on the same photos. The difference of their accuracies depends on
the seeds as well as on the photos, so both count as drawn at random: a seed is to a net what a reader is to a method of
diagnosis in studies where several readers see the same cases. The test is that of Dorfman, Berbaum & Metz 1992 as
Hillis, Berbaum & Metz 2008 give it, with the degrees of freedom of Hillis 2007. If the photos add nothing to the
variance it is the paired t-test over the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
"""Largest corrected p-value of a difference that is called real."""


@dataclass(frozen=True)
class Difference:
    """A difference of two accuracies in percentage points, its 95 % interval, and its p-value, not corrected."""

    mean: float
    low: float
    high: float
    p: float


def difference(correct: NDArray[np.bool_], reference: NDArray[np.bool_]) -> Difference:
    """Compare a net's accuracy with that of a reference.

    With one seed the photos alone count as drawn at random (a paired t-test over the photos), and what is found holds
    for these two nets only.

    Args:
        correct: Whether the net with each seed is right on each photo (seeds, photos), two photos or more.
        reference: The same of the reference.
    """
    from scipy import stats

    scores = 100 * (correct.astype(float) - reference)  # (seeds, photos)
    seeds, photos = scores.shape
    mean = float(scores.mean())
    by_photo = seeds * float(scores.mean(0).var(ddof=1))
    if seeds == 1:
        variance, freedom = by_photo / photos, float(photos - 1)
    else:
        by_seed = photos * float(scores.mean(1).var(ddof=1))
        rest = scores - scores.mean(0) - scores.mean(1, keepdims=True) + mean
        residual = float((rest**2).sum()) / ((seeds - 1) * (photos - 1))
        total = by_seed + max(by_photo - residual, 0.0)
        variance = total / (seeds * photos)
        freedom = (seeds - 1) * (total / by_seed) ** 2 if by_seed else math.inf
    if not variance:
        return Difference(mean, mean, mean, 0.0 if mean else 1.0)
    error = math.sqrt(variance)
    reach = float(stats.t.ppf(0.975, freedom)) * error
    return Difference(mean, mean - reach, mean + reach, float(2 * stats.t.sf(abs(mean) / error, freedom)))


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean by Student's t; None of a single value."""
    from scipy import stats

    if len(values) < 2:
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return mean - reach, mean + reach


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the same order (Holm 1979).

    Those at or below a level are the differences that are real with an error rate, over all of them, of this level.
    """
    order: Any = np.argsort(p, kind="stable")
    corrected, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = largest
    return corrected

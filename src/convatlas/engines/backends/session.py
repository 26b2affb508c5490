"""What every engine gives: a net that is ready to answer. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Photos = NDArray[np.float32]

Session = Callable[[Photos], Photos]
"""A net in an engine: (N, ...) float32, contiguous -> (N, ...) float32, for any N from 1 up."""


def parts(x: Photos, batch: int) -> list[Photos]:
    """`x` in parts of exactly `batch`; the last is filled up with its last input."""
    found = [x[start : start + batch] for start in range(0, len(x), batch)]
    if missing := batch - len(found[-1]):
        found[-1] = np.concatenate([found[-1], np.repeat(found[-1][-1:], missing, 0)])
    return found

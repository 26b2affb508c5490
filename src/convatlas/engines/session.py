"""Type of an engine's sessions, and the split of inputs into batches of fixed size. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

Session = Callable[[Float32Array], Float32Array]
"""A net opened in an engine: contiguous inputs (N, ...) -> outputs (N, ...), for any N from 1."""


def batches(x: Float32Array, size: int) -> list[Float32Array]:
    """Split `x` into batches of exactly `size`; the last one is padded with copies of its last input."""
    result = [x[start : start + size] for start in range(0, len(x), size)]
    if missing := size - len(result[-1]):
        result[-1] = np.concatenate([result[-1], np.repeat(result[-1][-1:], missing, 0)])
    return result


def join(outputs: list[Float32Array], count: int) -> Float32Array:
    """Concatenate the outputs of all batches, without those of the padding."""
    return outputs[0][:count] if len(outputs) == 1 else np.concatenate(outputs)[:count]

"""Maps from a net's outputs to probabilities, for arrays, equal to those of `nets.probabilities`. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from convatlas.engines.session import Photos


def _softmax(y: Photos) -> Photos:
    raised = np.exp(y - y.max(1, keepdims=True))
    shares: Photos = raised / raised.sum(1, keepdims=True)
    return shares


def _halved(y: Photos) -> Photos:
    share = ((1 + y) / 2).clip(0, 1)
    shares: Photos = share / np.maximum(share.sum(1, keepdims=True), np.float32(1e-12))
    return shares


MAPS: Mapping[str, Callable[[Photos], Photos]] = {"softmax": _softmax, "halved": _halved, "identity": lambda y: y}
"""Maps (N, classes) -> (N, classes), by the names that cards give them."""

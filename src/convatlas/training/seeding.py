"""All that is random in a training, as functions of (seed, epoch, number of the photo or step)."""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Lot(enum.IntEnum):
    """What is drawn: each has numbers of its own."""

    ORDER = 0
    DISTORTION = 1
    PHOTO = 2
    STEP = 3
    MIXTURE = 4
    SPLIT = 5


def generator(lot: Lot, *key: int) -> np.random.Generator:
    """The numbers that belong to one key, wherever and whenever they are drawn."""
    return np.random.default_rng([int(lot), *key])


def order(seed: int, epoch: int, count: int) -> Tensor:
    """In which order the photos are shown; (count,)."""
    return torch.from_numpy(generator(Lot.ORDER, seed, epoch).permutation(count))


def seed_torch(lot: Lot, *key: int) -> None:
    """Makes PyTorch's own generators, of all devices, go on with the numbers of this key."""
    # Not by NumPy, whose making of a generator is a thirtieth of a small step.
    seed = int.from_bytes(hashlib.blake2b(repr((int(lot), *key)).encode(), digest_size=7).digest())
    # `torch.manual_seed` writes down the whole call stack for each device that is not in use: a third of a small step.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Algorithms that give the same bits each time; what was set before, and the generators, are put back."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    settings: Any = torch.utils.deterministic
    filled = settings.fill_uninitialized_memory
    with torch.random.fork_rng(devices=None if device.type == "cuda" else []):
        # On GPUs some layers have no such algorithm: PyTorch names them.
        torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
        # It finds layers that read memory before they write it, which ours do not; a twelfth of a step of ResNet-18.
        settings.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warned)
            settings.fill_uninitialized_memory = filled


def split(seed: int, count: int, share: float) -> tuple[Tensor, Tensor]:
    """The photos to train with and those held out, by number."""
    held = round(count * share)
    numbers = torch.from_numpy(generator(Lot.SPLIT, seed).permutation(count))
    return numbers[held:].sort().values, numbers[:held].sort().values

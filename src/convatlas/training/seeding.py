"""Seed everything random in a training, as functions of (seed, epoch, index of the photo or step)."""

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


class Stream(enum.IntEnum):
    """Independent random streams, one for each purpose; the values are part of the seeds."""

    ORDER = 0
    DISTORTION = 1
    PHOTO = 2
    STEP = 3
    MIXTURE = 4
    SPLIT = 5
    SHIFT = 6


def generator(stream: Stream, *key: int) -> np.random.Generator:
    """Make the NumPy generator of a stream and key; equal arguments give equal numbers in any process."""
    return np.random.default_rng([int(stream), *key])


def permutation(seed: int, epoch: int, count: int) -> Tensor:
    """Order in which an epoch visits the photos, as indices (count,)."""
    return torch.from_numpy(generator(Stream.ORDER, seed, epoch).permutation(count))


def seed_torch(stream: Stream, *key: int) -> None:
    """Seed PyTorch's global generators, on all devices, for a stream and key."""
    # Hashed here: constructing a NumPy generator would take 3 % of a small step.
    seed = int.from_bytes(hashlib.blake2b(repr((int(stream), *key)).encode(), digest_size=7).digest())
    # `torch.manual_seed` records the call stack for each unused device, which takes a third of a small step.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Use deterministic algorithms within the context; restore settings and generators afterwards."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    settings: Any = torch.utils.deterministic
    filled = settings.fill_uninitialized_memory
    with torch.random.fork_rng(devices=None if device.type == "cuda" else []):
        # On GPUs some layers have no deterministic algorithm; PyTorch warns and names them.
        torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
        # Filling would reveal reads of uninitialized memory, which our layers do not do; it takes 8 % of a step.
        settings.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warned)
            settings.fill_uninitialized_memory = filled


def holdout(seed: int, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Indices of the photos to train with and of those held out, both sorted."""
    held = round(count * share)
    indices = torch.from_numpy(generator(Stream.SPLIT, seed).permutation(count))
    return indices[held:].sort().values, indices[:held].sort().values

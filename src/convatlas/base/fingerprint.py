"""A hash of tensors, to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor


class Hash(Protocol):
    """A hash of `hashlib`."""

    def update(self, data: bytes | memoryview, /) -> None: ...


def fingerprint(*states: Mapping[str, Tensor]) -> str:
    """The sha256 of tensors with their names, dtypes and shapes, in the order of each state, as 64 hex digits."""
    digest = hashlib.sha256()
    for state in states:
        add_tensors(digest, state.items())
    return digest.hexdigest()


def add_tensors(digest: Hash, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Add tensors with their names, dtypes and shapes to a hash."""
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor_bytes(tensor))


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor's values, in the order of its dimensions whatever its memory format."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data

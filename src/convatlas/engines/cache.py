"""By what the files of a net are found again: the net, its weights, its code, the engines' versions."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convatlas.base.fingerprint import add_tensors, tensor_bytes
from convatlas.base.machine import versions
from convatlas.base.store import home
from convatlas.nets.net import Net


def folder_of(net: nn.Module, shape: tuple[int, ...]) -> Path:
    """Where the files of a net for inputs of `shape` are kept: its name, and a hash of all that it computes with."""
    digest = hashlib.sha256(repr((shape, versions(), getattr(net, "lineage", None))).encode())
    for path, module in net.named_modules():
        digest.update(repr((path, type(module).__qualname__, _plain(module))).encode())
    for kind in sorted(
        {type(module) for module in net.modules()}, key=lambda kind: f"{kind.__module__}.{kind.__name__}"
    ):
        digest.update(_code(kind).encode())
    # Constants too, which `state_dict` leaves out.
    add_tensors(digest, [*net.named_parameters(), *net.named_buffers()])
    name = net.card.name if isinstance(net, Net) else type(net).__name__
    return home() / "engines" / f"{name}-{digest.hexdigest()[:20]}"


def _plain(module: nn.Module) -> list[tuple[str, str]]:
    """What a module has noted down of how it computes: numbers, words, tensors that are no buffers, functions."""
    found = []
    for name, value in vars(module).items():
        if isinstance(value, torch.Tensor):
            found.append((name, hashlib.sha256(tensor_bytes(value)).hexdigest()))
        elif inspect.isroutine(value):
            found.append((name, _code(value)))
        elif name != "training" and (
            isinstance(value, int | float | str | tuple | list) or dataclasses.is_dataclass(value)
        ):
            found.append((name, repr(value)))
    return sorted(found)


def _code(code: Any) -> str:
    try:
        return inspect.getsource(code)
    except (OSError, TypeError):
        return f"{code.__module__}.{code.__qualname__}"

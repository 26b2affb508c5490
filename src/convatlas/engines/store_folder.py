"""Folder of a net's files in the store, named by a hash of the net, its weights, its code and package versions."""

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
from convatlas.base.store.remote import home
from convatlas.base.terminal.brief import nested_tuples
from convatlas.engines.registry import packages
from convatlas.engines.sample_inputs import NetInput
from convatlas.nets.net import Net


def folder_of(net: nn.Module, input: NetInput) -> Path:
    """Folder of a net for an input: the net's name, and a hash of all that its outputs depend on."""
    digest = hashlib.sha256(
        repr((input.shape, input.kind, versions(packages()), nested_tuples(getattr(net, "lineage", None)))).encode()
    )
    for path, module in net.named_modules():
        digest.update(repr((path, type(module).__qualname__, _attributes(module))).encode())
    classes = {type(module) for module in net.modules()}
    for cls in sorted(classes, key=lambda cls: f"{cls.__module__}.{cls.__name__}"):
        digest.update(_code(cls).encode())
    # Not from `state_dict`, which leaves out non-persistent buffers.
    add_tensors(digest, [*net.named_parameters(), *net.named_buffers()])
    name = net.card.name if isinstance(net, Net) else type(net).__name__
    return home() / "engines" / f"{name}-{digest.hexdigest()[:20]}"


def _attributes(module: nn.Module) -> list[tuple[str, str]]:
    """Attributes that a module may compute with, by name: numbers, strings, tensors that are not buffers, functions."""
    result = []
    for name, value in vars(module).items():
        if isinstance(value, torch.Tensor):
            result.append((name, hashlib.sha256(tensor_bytes(value)).hexdigest()))
        elif inspect.isroutine(value):
            result.append((name, _code(value)))
        elif name != "training" and (
            isinstance(value, int | float | str | tuple | list) or dataclasses.is_dataclass(value)
        ):
            result.append((name, repr(nested_tuples(value))))
    return sorted(result)


def _code(code: Any) -> str:
    try:
        return inspect.getsource(code)
    except (OSError, TypeError):
        return f"{code.__module__}.{code.__qualname__}"

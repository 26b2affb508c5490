"""By what the files and measured times of a net are found again: the net, its weights, its code, the machine."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from convatlas.base.store import home
from convatlas.engines.session import threads
from convatlas.nets.net import Net

PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf")


def folder_of(net: nn.Module, shape: tuple[int, ...]) -> Path:
    """Where the files of a net for inputs of `shape` are kept: its name, and a hash of all that it computes with."""
    digest = hashlib.sha256(repr((shape, _versions(), getattr(net, "lineage", None))).encode())
    for path, module in net.named_modules():
        digest.update(repr((path, type(module).__qualname__, _plain(module))).encode())
    for kind in sorted(
        {type(module) for module in net.modules()}, key=lambda kind: f"{kind.__module__}.{kind.__name__}"
    ):
        digest.update(_code(kind).encode())
    # Constants too, which `state_dict` leaves out.
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    name = net.card.name if isinstance(net, Net) else type(net).__name__
    return home() / "engines" / f"{name}-{digest.hexdigest()[:20]}"


def _plain(module: nn.Module) -> list[tuple[str, object]]:
    """What a module has noted down of how it computes."""
    return sorted(
        (name, repr(value))
        for name, value in vars(module).items()
        if name != "training"
        and (isinstance(value, int | float | str | tuple | list) or dataclasses.is_dataclass(value))
    )


def machine_key() -> str:
    """What measured times depend on: the CPU, how many threads may run, and the engines' versions."""
    return hashlib.sha256(repr((cpu(), threads(), _versions())).encode()).hexdigest()[:12]


@cache
def cpu() -> str:
    """The CPU by its name and abilities."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    told = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    flags = hashlib.sha256(told.get("flags", "").encode()).hexdigest()[:8]
    return f"{told.get('model name', platform.machine())} ({flags})"


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def _code(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return f"{kind.__module__}.{kind.__qualname__}"

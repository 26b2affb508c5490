"""Facts about this machine: system, CPU, threads, memory, versions of packages; needs no torch."""

from __future__ import annotations

import hashlib
import os
import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine_key(packages: tuple[str, ...]) -> str:
    """Return a hash of the CPU, the number of threads, and the versions of `packages`, as 12 hex digits."""
    return hashlib.sha256(repr((cpu(), threads(), versions(packages))).encode()).hexdigest()[:12]


def system() -> str:
    """Return the operating system and the architecture: "Linux x86_64"."""
    return f"{platform.system()} {platform.machine()}"


def threads() -> int:
    """Return the number of threads an engine may start: the cores of this process, at most OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) > 0 else cores


def physical_memory() -> int | None:
    """Return the memory of the machine in bytes; None where the system does not say, as on Windows."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


@cache
def memory() -> int:
    """Return the memory that this process may use, in bytes: the machine's, or its container's limit."""
    total = physical_memory() or 8 << 30
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            total = min(total, int(Path(limit).read_text(encoding="ascii")))
    return total


@cache
def cpu() -> str:
    """Return the name of the CPU, with a hash of the instructions it supports."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    entries = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    flags = hashlib.sha256(entries.get("flags", "").encode()).hexdigest()[:8]
    return f"{entries.get('model name', platform.machine())} ({flags})"


@cache
def package_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def versions(packages: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the versions of those packages that are installed."""
    return tuple((package, installed) for package in packages if (installed := package_version(package)) is not None)

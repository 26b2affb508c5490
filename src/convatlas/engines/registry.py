"""All engines, found by listing `backends/`, and checks of what a user requests. Needs no torch."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.engines import backends as folder
from convatlas.engines.backend import Backend
from convatlas.engines.options import AUTO, Options


def names() -> tuple[str, ...]:
    """Names of all engines in alphabetical order, without importing them."""
    return tuple(module.name for module in pkgutil.iter_modules(folder.__path__))


@cache
def backends() -> dict[str, Backend]:
    """All engines by name, in the order of their `preparation` time."""
    unsorted: list[Backend] = [importlib.import_module(f"{folder.__name__}.{name}").BACKEND for name in names()]
    return {backend.name: backend for backend in sorted(unsorted, key=lambda backend: backend.preparation)}


def without_torch() -> tuple[str, ...]:
    """Names of the engines whose sessions need no PyTorch."""
    return tuple(name for name, backend in backends().items() if not backend.needs_torch)


def with_precision(precision: str) -> tuple[str, ...]:
    """Names of the engines that compute in a precision."""
    return tuple(name for name, backend in backends().items() if precision in backend.precisions)


def packages() -> tuple[str, ...]:
    """Packages of all engines; files and times are valid for their versions only."""
    used = [(*backend.packages, *backend.optional_packages) for backend in backends().values()]
    return ("torch", *sorted({package for group in used for package in group}))


def check_request(engine: str, precision: str, batch: object) -> None:
    """Check that an engine, a precision and a batch size are valid.

    Raises:
        UnknownName: There is no such engine or precision.
        ConvAtlasError: The engine does not have the precision, or the batch is not a number of photos.
    """
    if engine not in (AUTO, *backends()):
        raise unknown("engine", str(engine), (AUTO, *backends()))
    precisions = dict.fromkeys(precision for backend in backends().values() for precision in backend.precisions)
    if precision not in tuple(precisions):
        raise unknown("precision", str(precision), precisions)
    if engine != AUTO and precision not in backends()[engine].precisions:
        own = ", ".join(backends()[engine].precisions)
        raise ConvAtlasError(f"{engine} computes in {own}; {precision} has {', '.join(with_precision(precision))}")
    if not isinstance(batch, int) or isinstance(batch, bool) or not 1 <= batch <= 4096:
        raise ConvAtlasError(f"a batch is a number of photos from 1 to 4096; got {batch!r}")


def candidates(engine: str, precision: str, batch: int, convolves: bool = True) -> list[Options]:
    """Options worth trying for a batch size, in the order of `backends`; "auto" skips engines that are not installed.

    Raises:
        ConvAtlasError: The requested engine is not installed.
    """
    result: list[Options] = []
    for name, backend in backends().items():
        if precision not in backend.precisions or engine not in (AUTO, name):
            continue
        if engine == AUTO and not backend.installed:
            continue
        backend.check_installed()
        result += backend.candidates(precision, batch, convolves)
    return result

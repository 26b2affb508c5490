"""convatlas: an atlas of convolutional neural nets that you can run.

The functions named in `__all__` are the front door; everything heavy loads on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # For type checkers and editors: the same names from the same homes as below.
    from convatlas.anatomy.anatomy import measure as measure
    from convatlas.anatomy.report.check import check as check
    from convatlas.anatomy.report.choose import choose as choose
    from convatlas.anatomy.report.compare import compare as compare
    from convatlas.anatomy.report.show import show as show
    from convatlas.base.doctor import doctor as doctor
    from convatlas.base.errors import ConvAtlasError as ConvAtlasError
    from convatlas.bulk.batch import batch as batch
    from convatlas.catalogue.list_nets import list_nets as list_nets
    from convatlas.engines.accelerate import accelerate as accelerate
    from convatlas.engines.bench.bench import bench as bench
    from convatlas.engines.export.export import export as export
    from convatlas.nets.build import build as build
    from convatlas.predict.classify import classify as classify
    from convatlas.predict.detect import detect as detect
    from convatlas.predict.draw import draw as draw
    from convatlas.predict.evaluate import evaluate as evaluate
    from convatlas.probes.explain import explain as explain
    from convatlas.studies.reproduce import reproduce as reproduce
    from convatlas.studies.vary import vary as vary
    from convatlas.training.train import train as train
    from convatlas.weights.fetch import fetch as fetch
    from convatlas.weights.load import load as load

VERBS = {
    "batch": "bulk.batch",
    "bench": "engines.bench.bench",
    "check": "anatomy.report.check",
    "choose": "anatomy.report.choose",
    "classify": "predict.classify",
    "compare": "anatomy.report.compare",
    "detect": "predict.detect",
    "doctor": "base.doctor",
    "draw": "predict.draw",
    "evaluate": "predict.evaluate",
    "explain": "probes.explain",
    "export": "engines.export.export",
    "fetch": "weights.fetch",
    "list_nets": "catalogue.list_nets",
    "measure": "anatomy.anatomy",
    "reproduce": "studies.reproduce",
    "show": "anatomy.report.show",
    "train": "training.train",
    "vary": "studies.vary",
}
"""Public functions that are commands too, and their modules. (The command of `list_nets` is `list`.)"""

_OTHERS = {
    "ConvAtlasError": "base.errors",
    "accelerate": "engines.accelerate",
    "build": "nets.build",
    "load": "weights.load",
}
"""Public names that only Python has, and their modules."""

_HOMES = VERBS | _OTHERS

__version__ = "0.1.0"
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'convatlas' has no attribute {name!r}; it has {', '.join(_HOMES)}")
    value = getattr(importlib.import_module(f"convatlas.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

"""convatlas: an atlas of convolutional neural nets that you can run.

The functions named in `__all__` are the front door; everything heavy loads on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convatlas.anatomy.anatomy import measure
    from convatlas.anatomy.report.check import check
    from convatlas.anatomy.report.choose import choose
    from convatlas.anatomy.report.compare import compare
    from convatlas.base.errors import ConvAtlasError
    from convatlas.bulk.batch import batch
    from convatlas.catalogue.listing import list_nets
    from convatlas.engines.accelerate import accelerate
    from convatlas.engines.bench.bench import bench
    from convatlas.engines.export.export import export
    from convatlas.nets.build import build
    from convatlas.predict.classify import classify
    from convatlas.predict.detect import detect
    from convatlas.predict.evaluate import evaluate
    from convatlas.studies.reproduce import reproduce
    from convatlas.training.train import train
    from convatlas.weights.fetch import fetch
    from convatlas.weights.load import load

_HOMES = {
    "ConvAtlasError": "base.errors",
    "accelerate": "engines.accelerate",
    "batch": "bulk.batch",
    "bench": "engines.bench.bench",
    "build": "nets.build",
    "check": "anatomy.report.check",
    "choose": "anatomy.report.choose",
    "classify": "predict.classify",
    "compare": "anatomy.report.compare",
    "detect": "predict.detect",
    "evaluate": "predict.evaluate",
    "export": "engines.export.export",
    "fetch": "weights.fetch",
    "list_nets": "catalogue.listing",
    "load": "weights.load",
    "measure": "anatomy.anatomy",
    "reproduce": "studies.reproduce",
    "train": "training.train",
}

__version__ = "0.1.0"
__all__ = [
    "ConvAtlasError",
    "accelerate",
    "batch",
    "bench",
    "build",
    "check",
    "choose",
    "classify",
    "compare",
    "detect",
    "evaluate",
    "export",
    "fetch",
    "list_nets",
    "load",
    "measure",
    "reproduce",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'convatlas' has no attribute {name!r}; it has {', '.join(_HOMES)}")
    value = getattr(importlib.import_module(f"convatlas.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

"""convatlas: an atlas of convolutional neural nets that you can run.

The functions named in `__all__` are the front door; everything heavy loads on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convatlas.anatomy.checking import check
    from convatlas.anatomy.choosing import choose
    from convatlas.anatomy.comparing import compare
    from convatlas.anatomy.measuring import measure
    from convatlas.base.errors import ConvAtlasError
    from convatlas.bulk.batching import batch
    from convatlas.catalogue.listing import list_nets
    from convatlas.engines.accelerating import accelerate
    from convatlas.engines.benching import bench
    from convatlas.engines.classifying import classify
    from convatlas.engines.exporting import export
    from convatlas.nets.building import build
    from convatlas.training.reproducing import reproduce
    from convatlas.training.starting import train
    from convatlas.weights.detecting import detect
    from convatlas.weights.evaluating import evaluate
    from convatlas.weights.fetching import fetch
    from convatlas.weights.loading import load

_HOMES = {
    "ConvAtlasError": "base.errors",
    "accelerate": "engines.accelerating",
    "batch": "bulk.batching",
    "bench": "engines.benching",
    "build": "nets.building",
    "check": "anatomy.checking",
    "choose": "anatomy.choosing",
    "classify": "engines.classifying",
    "compare": "anatomy.comparing",
    "detect": "weights.detecting",
    "evaluate": "weights.evaluating",
    "export": "engines.exporting",
    "fetch": "weights.fetching",
    "list_nets": "catalogue.listing",
    "load": "weights.loading",
    "measure": "anatomy.measuring",
    "reproduce": "training.reproducing",
    "train": "training.starting",
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

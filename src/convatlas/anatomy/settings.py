"""What an operation's function depends on beside its window and its weights: a slope, a rate, what fills a border."""

from __future__ import annotations

from typing import Any

from torch import nn

from convatlas.anatomy.arithmetic import argument
from convatlas.anatomy.tracing import Call, Operation
from convatlas.genes.feedback import Recurrence
from convatlas.genes.layers import Counted
from convatlas.genes.normalization import Rescale
from convatlas.genes.pooling import Pool
from convatlas.genes.regularization import StochasticDepth
from convatlas.genes.skip import Scale

CALLS: dict[str, tuple[tuple[int, str, Any], ...]] = {
    "dropout": ((1, "p", 0.5),),
    "leaky_relu": ((1, "negative_slope", 0.01),),
    "elu": ((1, "alpha", 1.0),),
    "group_norm": ((1, "num_groups", 1),),
    "local_response_norm": ((1, "size", 5), (2, "alpha", 1e-4), (3, "beta", 0.75), (4, "k", 1.0)),
    "gelu": ((1, "approximate", "none"),),
    "pad": ((2, "mode", "constant"),),
}
"""For a function, which of its arguments matter: place, name and PyTorch's default."""

USUAL = ("constant", "none")


def setting_of(operation: Operation) -> str:
    """The settings in the order of their arguments, "0.1" or "5 0.0001 0.75 1"; "" where there are none."""
    module = operation.module if operation.is_leaf else None
    if isinstance(module, Pool):
        return "zeros" if module.border == "zeros" and module.alignment != "valid" else ""
    if isinstance(module, Scale):
        return _written(module.factor)
    if isinstance(module, StochasticDepth):
        return _written(module.rate)
    if isinstance(module, Rescale):
        return f"{_written(module.scale)} {_written(module.offset)}"
    if isinstance(module, Recurrence):
        widths, arrows = "-".join(map(str, module.widths)), (f"{source}->{target}" for source, target in module.arrows)
        return " ".join([widths, *arrows, f"{module.steps}steps"])
    if isinstance(module, Counted) and module.steps > 1:
        return f"{module.steps}steps"
    if isinstance(module, nn.Module) and len(operation.calls) > 2:
        # Of a leaf that calls much, the calls are how it works, not what it is set to.
        return ""
    found = [value for call in operation.calls for value in _values(call)]
    return " ".join(_written(value) for value in found if value not in USUAL)


def _values(call: Call) -> list[Any]:
    return [argument(call, *where) for where in CALLS.get(call.name, ())]


def _written(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""Describe the hyperparameters of an operation beyond its window and weights: a slope, a rate, a kind of border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from convatlas.anatomy.measure.operation_kinds import TRANSPOSING, kind_or_class
from convatlas.anatomy.measure.tracing.calls import Call, Operation, argument
from convatlas.genes.feedback import Recurrence
from convatlas.genes.layers import SelfCounting
from convatlas.genes.normalization import Rescale
from convatlas.genes.pooling import Pool
from convatlas.genes.regularization import StochasticDepth
from convatlas.genes.structural import Scale

ARGUMENTS: dict[str, tuple[tuple[int, str, Any], ...]] = {
    "dropout": ((1, "p", 0.5),),
    "leaky_relu": ((1, "negative_slope", 0.01),),
    "elu": ((1, "alpha", 1.0),),
    "group_norm": ((1, "num_groups", 1),),
    "local_response_norm": ((1, "size", 5), (2, "alpha", 1e-4), (3, "beta", 0.75), (4, "k", 1.0)),
    "gelu": ((1, "approximate", "none"),),
    "pad": ((2, "mode", "constant"),),
    "multi_head_attention_forward": ((4, "num_heads", 1),),
}
"""Arguments of each function that are hyperparameters: position, name and PyTorch's default."""

USUAL = ("constant", "none")
"""Values that are left out of a setting, since they are the usual ones."""

STEPS = "steps"
"""Text behind the number of steps in the setting of a recurrent layer."""


@dataclass(frozen=True)
class Loop:
    """Hyperparameters of a recurrence.

    Attributes:
        widths: Number of units of each layer, the input first.
        functions: Kind of the activation of each layer above the input.
        arrows: Feedback connections, as (source, target) by the names of the layers.
        steps: Number of steps.
    """

    widths: tuple[int, ...]
    functions: tuple[str, ...]
    arrows: tuple[tuple[str, str], ...]
    steps: int

    @property
    def names(self) -> list[str]:
        """Names of the layers: input, hidden1, ..., output."""
        return ["input", *(f"hidden{number}" for number in range(1, len(self.widths) - 1)), "output"]

    @property
    def feedback(self) -> list[str]:
        """Feedback connections as text: "hidden1 → hidden1"."""
        return [f"{source} → {target}" for source, target in self.arrows]


def loop_of(setting: str) -> Loop:
    """Parse what `setting_of` writes for a recurrence."""
    widths, functions, *arrows, steps = setting.split()
    numbers, kinds = widths.split("-"), functions.replace("_", " ").split("/")
    return Loop(
        tuple(map(int, numbers)),
        tuple(kinds * (len(numbers) - 1) if len(kinds) == 1 else kinds),
        tuple((arrow.split("->")[0], arrow.split("->")[1]) for arrow in arrows),
        int(steps.removesuffix(STEPS)),
    )


def setting_of(operation: Operation) -> str:
    """Write the hyperparameters of an operation in the order of its arguments: "0.1", "5 0.0001 0.75 1"; "" if none.

    For a recurrence these are the widths of its layers, its activations, its feedback connections and its steps:
    "784-300-10 tanh h->h 4steps".
    """
    module = operation.module if operation.is_leaf else None
    if isinstance(module, Pool):
        return "zeros" if module.border == "zeros" and module.alignment != "valid" else ""
    if isinstance(module, Scale):
        return _format(module.factor)
    if isinstance(module, StochasticDepth):
        return _format(module.rate)
    if isinstance(module, Rescale):
        return f"{_format(module.scale)} {_format(module.offset)}"
    if isinstance(module, Recurrence):
        widths, arrows = "-".join(map(str, module.widths)), (f"{source}->{target}" for source, target in module.arrows)
        return " ".join([widths, _functions(module), *arrows, f"{module.steps}{STEPS}"])
    if isinstance(module, SelfCounting) and module.steps > 1:
        return f"{module.steps}{STEPS}"
    if isinstance(module, nn.Module) and len(operation.calls) > 2:
        # The arguments in a leaf with more than two calls are its implementation, not hyperparameters.
        return ""
    # Nor are those of a slice inside a leaf.
    calls = [call for call in operation.calls if not (operation.is_leaf and call.name == "getitem")]
    values = [value for call in calls for value in _values(call)]
    return " ".join(_format(value) for value in values if value not in USUAL)


def _functions(module: Recurrence) -> str:
    """Activations of the layers of a recurrence; a single one if all are the same."""
    kinds = ["identity" if act is None else kind_or_class(act).replace(" ", "_") for act in module.functions[1:]]
    return kinds[0] if len(set(kinds)) == 1 else "/".join(kinds)


def _values(call: Call) -> list[Any]:
    if call.name in TRANSPOSING:
        return _order(call)
    if call.name == "getitem":
        return [_index(call.args[1])]
    return [argument(call, *where) for where in ARGUMENTS.get(call.name, ())]


def _order(call: Call) -> list[Any]:
    """Return, for each axis of the result of a transposition, which axis of the input it is."""
    tensor, *others = [*call.args, *call.kwargs.values()]
    rank = len(tensor.shape)
    axes = [axis % rank for axis in (others[0] if isinstance(others[0], tuple | list) else others)]
    if call.name == "permute":
        return axes
    order = list(range(rank))
    order[axes[0]], order[axes[1]] = axes[1], axes[0]
    return order


def _index(index: Any) -> str:
    """Write an index as in Python: ":,0", "...,:3"; a tensor as "?"."""
    if isinstance(index, slice):
        ends = ["" if end is None else _index(end) for end in (index.start, index.stop)]
        return ":".join([*ends, *([] if index.step in (None, 1) else [_index(index.step)])])
    if isinstance(index, tuple | list):
        return ",".join(map(_index, index))
    return "..." if index is ... else "?" if isinstance(index, Tensor) else str(index)


def _format(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

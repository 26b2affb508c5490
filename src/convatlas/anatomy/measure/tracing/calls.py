"""Records of a traced pass: its calls and operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

UNKNOWN = "unknown"
"""Name of the call that stands for work that cannot be traced."""


@dataclass
class Call:
    """One call of a PyTorch function.

    Its tensors are copies if values are kept, else on the meta device; those of the net itself are not copied.

    Attributes:
        name: Name of the function.
        args: Positional arguments.
        kwargs: Keyword arguments.
        output: Result.
        aten: ATen operations that it runs and that multiply and sum.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    aten: list[Call] = field(default_factory=list)


@dataclass
class Operation:
    """One operation of a net.

    Attributes:
        path: Path of the owning module: "conv2.block1.branch.conv1.conv"; "" for the net itself.
        module: The owning module: a leaf, or the composite that called a function itself.
        is_leaf: Whether the operation is the whole call of a leaf.
        calls: The functions called: one for an operation of a composite, any number for a leaf.
        inputs: Indices of the operations that feed it, in the order of its arguments; -1 is the net's input.
        weights: Parameters that it reads: those of a leaf, and those among its arguments or from which these were
            computed.
        buffers: Buffers of the net among its arguments.
        shapes_in: Shape of each of `inputs`.
        outputs: Its results, with values if they are kept, else on the meta device.
        output_position: Its position among the net's outputs, from 0; None if it is none of them.
    """

    path: str
    module: nn.Module
    is_leaf: bool
    calls: list[Call] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    weights: list[nn.Parameter] = field(default_factory=list)
    buffers: list[Tensor] = field(default_factory=list)
    shapes_in: list[tuple[int, ...]] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    output_position: int | None = None

    @property
    def name(self) -> str:
        """Path of its module; for a function that the net itself calls, the function's name."""
        return self.path or (self.calls[0].name if self.calls else UNKNOWN)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of its outputs."""
        return [tuple(tensor.shape) for tensor in self.outputs]

    @property
    def itemsize(self) -> int:
        """Bytes of one number of its last output."""
        return self.outputs[-1].element_size()


@dataclass
class Trace:
    """One forward pass.

    Attributes:
        operations: Operations that read the input or what was computed from it, in the order of execution.
        constants: Operations that read weights but nothing of the input; empty if values are kept.
        left_torch: Names of the operations, or "input", whose values left PyTorch.
    """

    operations: list[Operation] = field(default_factory=list)
    constants: list[Operation] = field(default_factory=list)
    left_torch: list[str] = field(default_factory=list)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dicts, and the tensor attributes of any other object."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, Mapping):
        yield from tensors_in(tuple(value.values()))
    elif attributes := getattr(value, "__dict__", None):
        # Not recursively: an object may contain itself.
        yield from (part for part in attributes.values() if isinstance(part, Tensor))


_missing = object()


def argument(call: Call, position: int, name: str, default: Any = _missing) -> Any:
    """Return an argument of a call, passed by position or by name.

    Raises:
        KeyError: It was not passed and has no default.
    """
    if len(call.args) > position:
        return call.args[position]
    if default is _missing:
        return call.kwargs[name]
    return call.kwargs.get(name, default)

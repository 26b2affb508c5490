"""A tape: the ATen operations of one forward pass with all tensors that they read and made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from convatlas.probes.tape.arguments import leaves, replaced


@dataclass(frozen=True)
class Slot:
    """Stands for a tensor of the tape among the arguments of an operation.

    Attributes:
        index: Index of the tensor in `Tape.values`.
    """

    index: int


@dataclass(frozen=True)
class Operation:
    """One operation that depends on the photo, free of side effects.

    Attributes:
        name: Name of the ATen operation, without its overload: "convolution".
        function: Function that computes it.
        args: Positional arguments, with a `Slot` for each tensor.
        kwargs: Keyword arguments, likewise.
        outputs: Indices of its results in `Tape.values`; None for a result that is not a tensor.
        module: Name of the innermost module that ran it; "" for the net itself.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[int | None, ...]
    module: str = ""

    @cached_property
    def inputs(self) -> list[int]:
        """Indices of the tensors among its arguments, in their order; one that is used twice stands there twice."""
        return [slot.index for slot in leaves((self.args, self.kwargs), Slot)]

    def run(self, values: Callable[[int], Tensor]) -> tuple[Any, ...]:
        """Compute the results from the tensors that `values` returns for an index."""
        args, kwargs = replaced((self.args, self.kwargs), Slot, lambda slot: values(slot.index))
        result = self.function(*args, **kwargs)
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)

    def __str__(self) -> str:
        return f"{self.name} in {self.module}" if self.module else self.name


@dataclass
class Tape:
    """A recorded forward pass.

    Attributes:
        values: All tensors, as they were when they were read or made.
        depends: For each of them, whether it depends on the photo.
        operations: The operations that depend on the photo, in the order they ran.
        photo: Index of the net's input among `values`.
        output: Index of what was asked for: the target's score of each photo, (N,), or the output of the net.
        layers: Indices of the outputs of each module, by the module's name, in the order of its calls.
        leaks: Places where a value that depends on the photo left PyTorch, or may have come back: one phrase each.
        strangers: Indices of tensors that neither belong to the net nor were made while it ran.
    """

    values: list[Tensor] = field(default_factory=list)
    depends: list[bool] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    photo: int = 0
    output: int = 0
    layers: dict[str, list[int]] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    strangers: list[int] = field(default_factory=list)

    def add(self, value: Tensor, depends: bool) -> int:
        """Append a tensor and return its index."""
        self.values.append(value)
        self.depends.append(depends)
        return len(self.values) - 1

    def after(self, start: int, end: int | None = None) -> list[Operation]:
        """The operations by which a tensor reaches another (by default the output), in the order they ran."""
        reached = {start}
        forward = [operation for operation in self.operations if _touches(operation.inputs, operation.outputs, reached)]
        needed = {self.output if end is None else end}
        backward = [
            operation for operation in reversed(forward) if _touches(operation.outputs, operation.inputs, needed)
        ]
        return backward[::-1]

    def memory(self, start: int) -> int:
        """Bytes of a tensor and of all that is computed from it on the way to the output, views counted once."""
        made = {index for operation in self.after(start) for index in operation.outputs if index is not None}
        storages = [self.values[index].untyped_storage() for index in made | {start}]
        return sum({storage._cdata: storage.nbytes() for storage in storages}.values())

    def producers(self) -> dict[int, Operation]:
        """The operation that made each tensor, by the tensor's index."""
        return {index: operation for operation in self.operations for index in operation.outputs if index is not None}

    def readers(self) -> dict[int, list[Operation]]:
        """The operations that read each tensor, by the tensor's index."""
        result: dict[int, list[Operation]] = {}
        for operation in self.operations:
            for index in dict.fromkeys(operation.inputs):
                result.setdefault(index, []).append(operation)
        return result

    def tensors(self, operation: Operation) -> Iterator[tuple[int, Tensor]]:
        """Index and tensor of each input of an operation that depends on the photo, each once."""
        return ((index, self.values[index]) for index in dict.fromkeys(operation.inputs) if self.depends[index])


def _touches(sources: Sequence[int | None], results: Iterable[int | None], known: set[int]) -> bool:
    """Whether any source is known; then the results become known too."""
    if known.isdisjoint(index for index in sources if index is not None):
        return False
    known.update(index for index in results if index is not None)
    return True

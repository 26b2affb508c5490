"""Trace the calls of a net: which operations it runs, in which order, on which tensors.

A leaf module is one operation, however many functions it calls, unless it is a whole net of a user's own. A function
that a composite module calls itself (a functional ReLU, a sum, a concatenation) is also an operation, owned by that
module. In nets of the atlas each operation is a leaf; foreign nets mix both. Work below the level of calls (a
TorchScript function) or outside PyTorch (a NumPy function) becomes an operation called "unknown".
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

from convatlas.anatomy.measure.meta_shortcuts import predicted
from convatlas.anatomy.measure.twin import Twin, twin
from convatlas.base.untouched import same_random_state

UNKNOWN = "unknown"
"""Name of the call that stands for work that cannot be traced."""

LEAVE = ("numpy", "tolist", "array", "dlpack")
"""Methods by which values leave PyTorch."""

RETURN = ("tensor", "as_tensor", "asarray", "from_dlpack")
"""Functions by which values may return to PyTorch."""


@dataclass
class Call:
    """One call of a PyTorch function.

    Its tensors are copies if values are kept, else on the meta device; those of the net itself are not copied.

    Attributes:
        name: Name of the function.
        args: Positional arguments.
        kwargs: Keyword arguments.
        output: Result.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any


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
        answer: Its position among the net's outputs, from 0; None if only other operations read it.
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
    answer: int | None = None

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of its outputs."""
        return [tuple(tensor.shape) for tensor in self.outputs]

    @property
    def itemsize(self) -> int:
        """Bytes of one number of its last output."""
        return self.outputs[-1].element_size()


def trace(
    net: nn.Module,
    *inputs: Any,
    keywords: Mapping[str, Any] | None = None,
    keep: Literal["shapes", "values"] = "shapes",
    only: Container[int] | None = None,
    observers: bool = False,
    into: list[Operation] | None = None,
) -> list[Operation]:
    """Run one forward pass in evaluation mode, without gradients, and return its operations in order.

    A copy of the net's structure runs, on the meta device if the inputs are there; the net itself is only read, and
    PyTorch's random state is restored. Hooks that are plain functions do not run by default.

    Args:
        net: Any module.
        inputs: Its arguments: tensors, also in tuples, lists and dicts, and other values.
        keywords: Its arguments by name.
        keep: "shapes", which takes no memory, or "values": copies of the tensors that each operation read and returned,
            made before any later in-place operation.
        only: Indices, from 0, of the operations whose values are kept; by default all.
        observers: Whether hooks that are plain functions run too.
        into: List for the operations, which then holds those that ran if the net fails.
    """
    keywords = keywords or {}
    tensors = list(tensors_in((inputs, keywords)))
    copied = twin(net, bool(tensors) and all(tensor.is_meta for tensor in tensors), observers)
    tracer = _Tracer(copied, tensors, keep == "values", only, [] if into is None else into)
    with ExitStack() as stack:
        for name, module in copied.net.named_modules():
            module.register_forward_pre_hook(tracer.entering(name), with_kwargs=True)
            module.register_forward_hook(tracer.leaving(), with_kwargs=True, always_call=True)
        stack.enter_context(same_random_state())
        stack.enter_context(torch.no_grad())
        stack.enter_context(_Below(tracer))
        stack.enter_context(tracer)
        output = copied.net(*inputs, **keywords)
    for position, tensor in enumerate(tensors_in(output)):
        number = tracer.maker(tensor)
        if number is not None and number >= 0 and tracer.operations[number].answer is None:
            tracer.operations[number].answer = position
    return tracer.operations


@dataclass
class _Hidden:
    """Work that no function call shows.

    Attributes:
        path: Path of the module that runs it.
        module: That module.
        reads: Traced tensors that it reads.
        calls: ATen operations that it runs.
        number: Index of its operation, once something reads its result.
    """

    path: str
    module: nn.Module
    reads: list[Tensor] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    number: int | None = None


class _Tracer(TorchFunctionMode):
    """Record the operations of a twin while it runs.

    Attributes:
        makers: Index of the operation that computed each tensor; -1 for an input of the net.
        remade: Parameters from which each untraced tensor was computed.
        hidden: Work that computed each tensor without a function call.
        stand_ins: Latest copy of each tensor, with the version that was copied.
        group: Work without a function call that is still going on.
        gone: Indices of the operations whose values left PyTorch.
    """

    def __init__(
        self,
        copied: Twin,
        inputs: Sequence[Tensor],
        values: bool,
        only: Container[int] | None,
        operations: list[Operation],
    ):
        super().__init__()
        self.originals, self.constants = copied.originals, copied.constants
        self.values, self.only = values, only
        self.operations = operations
        self.stack: list[tuple[str, nn.Module, Operation | None]] = [("", self.originals[id(copied.net)], None)]
        self.input_shape = tuple(inputs[0].shape) if inputs else ()
        self.makers = _ByTensor()
        for tensor in inputs:
            self.makers[tensor] = -1
        self.remade, self.hidden, self.stand_ins = _ByTensor(), _ByTensor(), _ByTensor()
        self.group: _Hidden | None = None
        self.gone: list[int] = []
        # Calls inside a call are part of it. But if its arguments include no traced tensor (under `torch.vmap` they
        # are wrappers), only the ATen operations below show what it reads.
        self.busy, self.blind = False, False

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let calls pass unrecorded."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before

    def entering(self, path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.group = None
            outer = self.stack[-1][2]
            operation, original = outer, self.originals[id(module)]
            if outer is None and not any(True for _ in module.children()) and (path or not _is_users(original)):
                operation = self._begin(path, original, True, (args, kwargs))
            self.stack.append((path, original, operation))

        return hook

    def leaving(self) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            self.group = None
            _, _, operation = self.stack.pop()
            if operation is not None and self.stack[-1][2] is None:
                self._end(operation, output)

        return hook

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.busy:
            return func(*args, **kwargs)
        path, module, operation = self.stack[-1]
        name = _name(func)
        before = [(tensor, _version(tensor)) for tensor in tensors_in((args, kwargs))]
        kept_inputs = self._kept((args, kwargs)) if self.values else None
        self.blind = operation is None and bool(before) and not any(self._followed(tensor) for tensor, _ in before)
        with self.quiet():
            output = predicted(func, args, kwargs)
            if output is None:
                output = func(*args, **kwargs)
        self.blind = False
        written = [tensor for tensor, version in before if _version(tensor) != version]
        if not written and not any(True for _ in tensors_in(output)):
            if name in LEAVE:
                self.gone += [number for tensor, _ in before if (number := self.maker(tensor)) is not None]
            return output
        own = None if operation is not None else self._begin(path, module, False, (args, kwargs))
        kept_args, kept_kwargs = self._kept((args, kwargs)) if kept_inputs is None else kept_inputs
        # An assignment to a part of a map (`y[:, :2] = x`) returns nothing; its result is the map.
        results = written if output is None else output
        (operation or own).calls.append(Call(name, kept_args, kept_kwargs, self._kept(output)))  # type: ignore[union-attr]
        if own is not None:
            if own.inputs or not (self.gone and name in RETURN):
                self._end(own, results)
            # Writing into a view writes into the map that it views.
            number = self.makers.get(written[0]) if written else None
            if number is not None and (whole := written[0]._base) is not None:
                self.makers[whole] = number
        return output

    def below(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Record an ATen operation that no function call shows."""
        path, module, operation = self.stack[-1]
        with self.quiet():
            call = Call(_name(func), self._kept(args), self._kept(kwargs), self._kept(output))
            if operation is not None:
                operation.calls.append(call)
                return
            reads = [tensor for tensor in tensors_in((args, kwargs)) if self._followed(tensor)]
            if not reads:
                return
            self.group = self.group or _Hidden(path, module)
            self.group.calls.append(call)
            self.group.reads += [tensor for tensor in reads if self.hidden.get(tensor) is not self.group]
            for tensor in tensors_in(output):
                self.hidden[tensor] = self.group

    def maker(self, tensor: Tensor, outside: bool = False) -> int | None:
        """Index of the operation that computed a tensor; -1 for an input of the net, None for a constant.

        With `outside`, a tensor of unknown origin is assumed to be computed from the values that left PyTorch before.
        """
        group = self.hidden.get(tensor)
        if group is not None:
            if group.number is None:
                group.number = self._unknown(group.path, group.module, group.reads, group.calls, tensor)
            else:
                self.operations[group.number].outputs.append(self._kept(tensor))
            self.makers[tensor] = group.number
            del self.hidden[tensor]
        elif outside and self.gone and not self._explained(tensor):
            path, module, _ = self.stack[-1]
            self.makers[tensor] = self._unknown(path, module, [], [], tensor)
        number: int | None = self.makers.get(tensor)
        return number

    def _followed(self, tensor: Tensor) -> bool:
        return tensor in self.makers or tensor in self.hidden

    def _explained(self, tensor: Tensor) -> bool:
        return tensor in self.makers or tensor in self.remade or id(tensor) in self.constants

    def _unknown(self, path: str, module: nn.Module, reads: list[Tensor], calls: list[Call], output: Tensor) -> int:
        operation = Operation(path, module, False)
        for tensor in reads:
            number = self.maker(tensor)
            if number is not None:
                operation.inputs.append(number)
                operation.shapes_in.append(tuple(tensor.shape))
        if not reads:
            operation.inputs = list(dict.fromkeys(self.gone))
            shapes = {-1: self.input_shape}
            operation.shapes_in = [
                shapes.get(number) or self.operations[number].shapes[0] for number in operation.inputs
            ]
        with self.quiet():
            kept = self._kept(output)
            operation.calls = [Call(UNKNOWN, tuple(self._kept(reads)), {}, kept), *calls]
        operation.outputs = [kept]
        self.operations.append(operation)
        return len(self.operations) - 1

    def _begin(self, path: str, module: nn.Module, is_leaf: bool, arguments: Any) -> Operation:
        """Start an operation whose inputs, weights and buffers are among `arguments`."""
        self.group = None
        operation = Operation(path, module, is_leaf)
        weights = list(module.parameters()) if is_leaf else []
        for tensor in tensors_in(arguments):
            number = self.maker(tensor, outside=True)
            if number is not None:
                operation.inputs.append(number)
                operation.shapes_in.append(tuple(tensor.shape))
            elif isinstance(tensor, nn.Parameter):
                weights.append(self.originals.get(id(tensor), tensor))
            elif tensor in self.remade:
                weights += self.remade.get(tensor)
            elif id(tensor) in self.originals:
                operation.buffers.append(self.originals[id(tensor)])
        # Without duplicates, whose number would double each time a tensor is combined with itself.
        operation.weights = list({id(weight): weight for weight in weights}.values())
        return operation

    def _end(self, operation: Operation, output: Any) -> None:
        """Record an operation, unless it reads no traced tensor or returns none."""
        results = list(tensors_in(output))
        # A reshaped parameter or a new constant does not depend on the photo.
        if not operation.inputs or not results:
            for tensor in results:
                self.remade[tensor] = operation.weights
            return
        operation.outputs = [self._kept(tensor) for tensor in results]
        self.operations.append(operation)
        for tensor in results:
            self.makers[tensor] = len(self.operations) - 1

    def _kept(self, value: Any) -> Any:
        """Replace each tensor in a value by its stand-in."""
        if isinstance(value, Tensor):
            return self._stand_in(value)
        if isinstance(value, tuple | list):
            parts = [self._kept(part) for part in value]
            return parts if isinstance(value, list) else tuple(parts)
        return {key: self._kept(part) for key, part in value.items()} if isinstance(value, dict) else value

    def _stand_in(self, tensor: Tensor) -> Tensor:
        """Copy of a tensor if its values are kept, else a tensor of its shape on the meta device."""
        if tensor.is_meta or id(tensor) in self.originals:
            return tensor
        copied = self.values and (self.only is None or len(self.operations) in self.only)
        state = _version(tensor), copied
        before = self.stand_ins.get(tensor)
        if before is not None and before[0] == state:
            return before[1]  # type: ignore[no-any-return]
        with self.quiet():
            stand_in = tensor.detach().clone() if copied else torch.empty_like(tensor, device="meta")
        self.stand_ins[tensor] = state, stand_in
        return stand_in


class _Below(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Report ATen operations that run without a function call, as in TorchScript."""

    def __init__(self, tracer: _Tracer):
        super().__init__()  # type: ignore[no-untyped-call]
        self.tracer = tracer

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.tracer.busy and not self.tracer.blind:
            return func(*args, **kwargs)
        with self.tracer.quiet():
            output = func(*args, **kwargs)
        self.tracer.below(func, args, kwargs, output)
        return output


class _ByTensor:
    """Mapping by the identity of tensors that does not keep them alive."""

    def __init__(self) -> None:
        self.entries: dict[int, tuple[weakref.ref[Tensor], Any]] = {}

    def __setitem__(self, tensor: Tensor, value: Any) -> None:
        self.entries[id(tensor)] = weakref.ref(tensor), value

    def __delitem__(self, tensor: Tensor) -> None:
        del self.entries[id(tensor)]

    def __contains__(self, tensor: Tensor) -> bool:
        entry = self.entries.get(id(tensor))
        # The id of a tensor that was freed may be that of another one now.
        return entry is not None and entry[0]() is tensor

    def get(self, tensor: Tensor) -> Any:
        return self.entries[id(tensor)][1] if tensor in self else None


def _is_users(module: nn.Module) -> bool:
    """Whether a module is of a class of the user's own, whose operations say more than its name."""
    return type(module).__module__.split(".")[0] not in ("torch", "convatlas")


def _version(tensor: Tensor) -> int:
    """Number of in-place writes so far; -1 for tensors of inference mode, which do not count them."""
    return -1 if tensor.is_inference() else tensor._version


def _name(func: Callable[..., Any]) -> str:
    name = getattr(func, "__name__", str(func))
    # Only the path of a property contains its name. That of a function may contain another: for `torch.mm` it is
    # `torch.spmm`. Functions in a net from `torch.export` are called "conv2d.default".
    return (resolve_name(func) or name).split(".")[-2] if name == "__get__" else name.split(".")[0].strip("_")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dicts, and the tensor attributes of any other object."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        yield from tensors_in(tuple(value.values()))
    elif attributes := getattr(value, "__dict__", None):
        # Not recursively: an object may contain itself.
        yield from (part for part in attributes.values() if isinstance(part, Tensor))

"""Trace the calls of a net: which operations it runs, in which order, on which tensors.

A leaf module is one operation, however many functions it calls, unless it is a whole net of a user's own. A function
that a composite module calls itself (a functional ReLU, a sum, a concatenation) is also an operation, owned by that
module. In nets of the atlas each operation is a leaf; foreign nets mix both. Work below the level of calls (a
TorchScript function) or outside PyTorch (a NumPy function) becomes an operation called "unknown".
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

from convatlas.anatomy.measure.tracing.by_tensor import ByTensor
from convatlas.anatomy.measure.tracing.calls import UNKNOWN, Call, Operation, Trace, tensors_in
from convatlas.anatomy.measure.tracing.leaving import COPIES, LEAVE, RETURN
from convatlas.anatomy.measure.tracing.meta_shortcuts import predicted
from convatlas.anatomy.measure.tracing.stored_weights import PARAMETRIZATIONS, computes_weights, is_leaf
from convatlas.anatomy.measure.tracing.twin import Twin


@dataclass
class _AtenWork:
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


class Recorder(TorchFunctionMode):
    """Record the operations of a twin while it runs.

    Attributes:
        makers: Index of the operation that computed each tensor; -1 for an input of the net.
        derived: For tensors that are computed from parameters alone, these parameters.
        aten_work: Work that computed each tensor without a function call.
        stand_ins: Latest copy of each tensor, with the version that was copied.
        open_work: Work without a function call that is still going on.
        left: Indices of the operations whose values left PyTorch as whole tensors.
    """

    def __init__(
        self, copied: Twin, inputs: Sequence[Tensor], record: Trace, values: bool, only: Container[int] | None
    ):
        super().__init__()
        self.originals, self.constants = copied.originals, copied.constants
        self.values, self.only = values, only
        self.record, self.operations = record, record.operations
        self.stack: list[tuple[str, nn.Module, Operation | None]] = [("", self.originals[id(copied.net)], None)]
        self.input_shape = tuple(inputs[0].shape) if inputs else ()
        self.makers = ByTensor()
        for tensor in inputs:
            self.makers[tensor] = -1
        self.derived, self.aten_work, self.stand_ins = ByTensor(), ByTensor(), ByTensor()
        self.open_work: _AtenWork | None = None
        self.left: list[int] = []
        # Calls inside a call are part of it. But if its arguments include no traced tensor (under `torch.vmap` they
        # are wrappers), only the ATen operations below show what it reads.
        self.busy, self.blind = False, False
        self.suspended: list[bool] = []
        self.products: list[Call] = []

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let calls pass unrecorded."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before

    def watch(self, path: str, module: nn.Module) -> None:
        """Record the calls of one of the twin's modules."""
        if isinstance(module, ParametrizationList):
            module.register_forward_pre_hook(self._weight_begins)
            module.register_forward_hook(self._weight_ends, always_call=True)
        if PARAMETRIZATIONS in path.split("."):
            return
        for key, hook in module._forward_pre_hooks.items():
            if computes_weights(hook):
                module._forward_pre_hooks[key] = self._silently(hook)
        module.register_forward_pre_hook(self.entering(path), with_kwargs=True)
        module.register_forward_hook(self.leaving(), with_kwargs=True, always_call=True)

    def _silently(self, hook: Callable[..., Any]) -> Callable[..., None]:
        def run(module: nn.Module, args: Any) -> None:
            with self.quiet():
                hook(module, args)
            stored = list(self.originals[id(module)].parameters(recurse=False))
            for tensor in tensors_in(module):
                self.derived[tensor] = stored

        return run

    def _weight_begins(self, module: nn.Module, args: Any) -> None:
        self.suspended.append(self.busy)
        self.busy = True

    def _weight_ends(self, module: nn.Module, args: Any, output: Any) -> None:
        self.busy = self.suspended.pop()
        for tensor in tensors_in(output):
            self.derived[tensor] = list(self.originals[id(module)].parameters())

    def entering(self, path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.open_work = None
            outer = self.stack[-1][2]
            operation, original = outer, self.originals[id(module)]
            if outer is None and is_leaf(module) and (path or not _is_of_user(original)):
                operation = self._begin(path, original, True, (args, kwargs))
            self.stack.append((path, original, operation))

        return hook

    def leaving(self) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            self.open_work = None
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
        # Reading there would end the process.
        if name == "data_ptr" and any(tensor.is_meta for tensor in tensors_in(args)):
            raise RuntimeError("a tensor on the meta device has no memory")
        before = [(tensor, _version(tensor)) for tensor in tensors_in((args, kwargs))]
        kept_inputs = self.kept((args, kwargs)) if self.values else None
        # Inside `torch.vmap` a tensor lacks the side that it is mapped over: only below is the work seen whole.
        mapped = any(is_functorch_wrapped_tensor(tensor) for tensor, _ in before)
        unknown = operation is None and bool(before) and not any(self._is_traced(tensor) for tensor, _ in before)
        self.blind, self.products = mapped or unknown, []
        with self.quiet():
            output = predicted(func, args, kwargs)
            if output is None:
                output = func(*args, **kwargs)
        self.blind = False
        if mapped:
            return output
        written = [tensor for tensor, version in before if _version(tensor) != version]
        if not written and not any(True for _ in tensors_in(output)):
            if name in LEAVE:
                self._leave(name, [tensor for tensor, _ in before])
            return output
        own = None if operation is not None else self._begin(path, module, False, (args, kwargs))
        kept_args, kept_kwargs = self.kept((args, kwargs)) if kept_inputs is None else kept_inputs
        # An assignment to a part of a map (`y[:, :2] = x`) returns nothing; its result is the map.
        results = written if output is None else output
        (operation or own).calls.append(  # type: ignore[union-attr]
            Call(name, kept_args, kept_kwargs, self.kept(output), self.products)
        )
        if own is not None:
            if own.inputs or not (self.left and name in RETURN):
                self._end(own, results)
            # Writing into a view writes into the map that it views.
            number = self.makers.get(written[0]) if written else None
            if number is not None and (whole := written[0]._base) is not None:
                self.makers[whole] = number
        return output

    def record_aten(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Record an ATen operation that no function call shows."""
        path, module, operation = self.stack[-1]
        with self.quiet():
            if (name := _name(func)) in LEAVE:
                self._leave(name, list(tensors_in((args, kwargs))))
            call = Call(name, self.kept(args), self.kept(kwargs), self.kept(output))
            if operation is not None:
                operation.calls.append(call)
                return
            reads = [tensor for tensor in tensors_in((args, kwargs)) if self._is_traced(tensor)]
            if not reads:
                return
            self.open_work = self.open_work or _AtenWork(path, module)
            self.open_work.calls.append(call)
            self.open_work.reads += [tensor for tensor in reads if self.aten_work.get(tensor) is not self.open_work]
            for tensor in tensors_in(output):
                self.aten_work[tensor] = self.open_work

    def maker(self, tensor: Tensor, outside: bool = False) -> int | None:
        """Index of the operation that computed a tensor; -1 for an input of the net, None for a constant.

        With `outside`, a tensor of unknown origin is assumed to be computed from the values that left PyTorch before.
        """
        group = self.aten_work.get(tensor)
        if group is not None:
            if group.number is None:
                group.number = self._unknown(group.path, group.module, group.reads, group.calls, tensor)
            else:
                self.operations[group.number].outputs.append(self.kept(tensor))
            self.makers[tensor] = group.number
            del self.aten_work[tensor]
        elif outside and self.left and not self._has_known_origin(tensor):
            path, module, _ = self.stack[-1]
            self.makers[tensor] = self._unknown(path, module, [], [], tensor)
        number: int | None = self.makers.get(tensor)
        return number

    def _leave(self, name: str, tensors: list[Tensor]) -> None:
        """Note that values of these tensors leave PyTorch by the call of this name."""
        operation = self.stack[-1][2]
        numbers = [number for tensor in tensors if (number := self.maker(tensor)) is not None]
        if name in COPIES:
            self.left += numbers
        names = ["input" if number < 0 else self.operations[number].name for number in numbers]
        # Inside a leaf no tensor is followed.
        if operation is not None and not all(self._has_known_origin(tensor) for tensor in tensors):
            names.append(operation.path)
        self.record.left_torch[:] = dict.fromkeys((*self.record.left_torch, *names))

    def _is_traced(self, tensor: Tensor) -> bool:
        return tensor in self.makers or tensor in self.aten_work

    def _has_known_origin(self, tensor: Tensor) -> bool:
        return tensor in self.makers or tensor in self.derived or id(tensor) in self.constants

    def _unknown(self, path: str, module: nn.Module, reads: list[Tensor], calls: list[Call], output: Tensor) -> int:
        operation = Operation(path, module, False)
        for tensor in reads:
            number = self.maker(tensor)
            if number is not None:
                operation.inputs.append(number)
                operation.shapes_in.append(tuple(tensor.shape))
        if not reads:
            operation.inputs = list(dict.fromkeys(self.left))
            shapes = {-1: self.input_shape}
            operation.shapes_in = [
                shapes.get(number) or self.operations[number].shapes[0] for number in operation.inputs
            ]
        with self.quiet():
            kept = self.kept(output)
            operation.calls = [Call(UNKNOWN, tuple(self.kept(reads)), {}, kept), *calls]
        operation.outputs = [kept]
        self.operations.append(operation)
        return len(self.operations) - 1

    def _begin(self, path: str, module: nn.Module, is_leaf: bool, arguments: Any) -> Operation:
        """Start an operation whose inputs, weights and buffers are among `arguments`."""
        self.open_work = None
        operation = Operation(path, module, is_leaf)
        weights = list(module.parameters()) if is_leaf else []
        for tensor in tensors_in(arguments):
            number = self.maker(tensor, outside=True)
            if number is not None:
                operation.inputs.append(number)
                operation.shapes_in.append(tuple(tensor.shape))
            elif isinstance(tensor, nn.Parameter):
                weights.append(self.originals.get(id(tensor), tensor))
            elif tensor in self.derived:
                weights += self.derived.get(tensor)
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
                self.derived[tensor] = operation.weights
            if results and operation.weights and not self.values:
                operation.outputs = [self.kept(tensor) for tensor in results]
                self.record.constants.append(operation)
            return
        operation.outputs = [self.kept(tensor) for tensor in results]
        self.operations.append(operation)
        for tensor in results:
            self.makers[tensor] = len(self.operations) - 1

    def kept(self, value: Any) -> Any:
        """Replace each tensor in a value by its stand-in."""
        if isinstance(value, Tensor):
            return self._stand_in(value)
        if isinstance(value, tuple | list):
            parts = [self.kept(part) for part in value]
            return parts if isinstance(value, list) else tuple(parts)
        return {key: self.kept(part) for key, part in value.items()} if isinstance(value, dict) else value

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


MULTIPLY = frozenset(
    (
        *("mm", "addmm", "bmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "vdot", "int_mm", "sparse_addmm"),
        *("grouped_mm", "convolution", "conv_tbc"),
    )
)
"""ATen operations that multiply and sum; all others that do so are made of these."""


class AtenWatcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Report ATen operations that run without a function call, as in TorchScript."""

    supports_higher_order_operators = True

    def __init__(self, recorder: Recorder):
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = recorder

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.recorder.busy and not self.recorder.blind:
            output = func(*args, **kwargs)
            if (name := _name(func)) in MULTIPLY:
                kept = (self.recorder.kept(value) for value in (args, kwargs, output))
                self.recorder.products.append(Call(name, *kept))
            return output
        with self.recorder.quiet():
            output = func(*args, **kwargs)
        self.recorder.record_aten(func, args, kwargs, output)
        return output


def _is_of_user(module: nn.Module) -> bool:
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

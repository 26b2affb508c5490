"""The one call tracer: which operations a net runs, in which order, on which tensors.

A leaf module is one operation, whatever it calls inside. What a composite module calls by itself (a functional ReLU, a
sum, a concatenation) is an operation too, owned by that module. So a foreign net is traced as well as ours, in which
the operations are the calls of its leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from convatlas.anatomy.measure.meta_shortcuts import known


@dataclass
class Call:
    """One function of PyTorch as it was called: its name, its arguments, what it gave."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any


@dataclass
class Operation:
    """One operation of a net.

    Attributes:
        path: The owning module's path ("conv2.block1.branch.conv1.conv"; "" for the net itself).
        module: The owning module; a leaf, or the composite that called a function by itself.
        is_leaf: Whether the operation is a leaf's whole call.
        calls: The functions called; one for a composite's, any number for a leaf's.
        inputs: Numbers of the operations that fed it, in the order of its arguments; -1 is the net's input.
        weights: Parameters it reads: a leaf's own, and those among its arguments, remade (reshaped, say) or not.
        shapes_in: Shapes of those inputs.
        shapes: Shapes of its outputs.
        itemsize: Bytes of one number of the output.
        answer: Its place among what the net gives, from 0; None if only other operations read it.
    """

    path: str
    module: nn.Module
    is_leaf: bool
    calls: list[Call] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    weights: list[nn.Parameter] = field(default_factory=list)
    shapes_in: list[tuple[int, ...]] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    itemsize: int = 4
    answer: int | None = None


def trace(net: nn.Module, *inputs: Tensor) -> list[Operation]:
    """The operations of one forward pass of `net` over `inputs`, in order; in evaluation mode, without gradients.

    The net is left as it was: its mode, its hooks, its weights.
    """
    tracer = _Tracer(net, inputs)
    modes = {module: module.training for module in net.modules()}
    with ExitStack() as stack:
        stack.callback(_restore, modes)
        # Not by `eval`, of which a net may make anything (one from `torch.export` refuses it).
        _restore(dict.fromkeys(modes, False))
        for name, module in net.named_modules():
            stack.enter_context(module.register_forward_pre_hook(tracer.entering(name), with_kwargs=True))
            stack.enter_context(module.register_forward_hook(tracer.leaving(), with_kwargs=True, always_call=True))
        stack.enter_context(torch.no_grad())
        stack.enter_context(tracer)
        output = net(*inputs)
    for place, tensor in enumerate(tensors_in(output)):
        _, number = tracer.makers.get(id(tensor), (tensor, -1))
        if number >= 0 and tracer.operations[number].answer is None:
            tracer.operations[number].answer = place
    return tracer.operations


def _restore(modes: dict[nn.Module, bool]) -> None:
    for module, mode in modes.items():
        module.training = mode


class _Tracer(TorchFunctionMode):
    def __init__(self, net: nn.Module, inputs: tuple[Tensor, ...]):
        super().__init__()
        self.operations: list[Operation] = []
        self.stack: list[tuple[str, nn.Module, Operation | None]] = [("", net, None)]
        # Tensors are kept so that no id is used twice while the trace lasts.
        self.makers: dict[int, tuple[Tensor, int]] = {id(tensor): (tensor, -1) for tensor in inputs}
        self.remade: dict[int, tuple[Tensor, list[nn.Parameter]]] = {}

    def entering(self, path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            outer = self.stack[-1][2]
            operation = outer
            if outer is None and not any(True for _ in module.children()):
                operation = self._begun(path, module, True, (args, kwargs))
            self.stack.append((path, module, operation))

        return hook

    def leaving(self) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            _, _, operation = self.stack.pop()
            if operation is not None and self.stack[-1][2] is None:
                self._ended(operation, output)

        return hook

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        path, module, operation = self.stack[-1]
        before = [(tensor, _version(tensor)) for tensor in tensors_in((args, kwargs))]
        output = known(func, args, kwargs)
        if output is None:
            output = func(*args, **kwargs)
        written = [tensor for tensor, version in before if _version(tensor) != version]
        if not written and not any(True for _ in tensors_in(output)):
            return output
        call = Call(_name(func), args, kwargs, output)
        if operation is not None:
            operation.calls.append(call)
        else:
            begun = self._begun(path, module, False, (args, kwargs))
            begun.calls.append(call)
            # An assignment to a part of a map (`y[:, :2] = x`) gives nothing; what it makes is the map.
            self._ended(begun, written if output is None else output)
            # What is written into a view is written into the map it views.
            made = self.makers.get(id(written[0])) if written else None
            if made is not None and (whole := written[0]._base) is not None:
                self.makers[id(whole)] = whole, made[1]
        return output

    def _begun(self, path: str, module: nn.Module, is_leaf: bool, given: Any) -> Operation:
        operation = Operation(path, module, is_leaf)
        weights = list(module.parameters()) if is_leaf else []
        for tensor in tensors_in(given):
            if id(tensor) in self.makers:
                operation.inputs.append(self.makers[id(tensor)][1])
                operation.shapes_in.append(tuple(tensor.shape))
            elif isinstance(tensor, nn.Parameter):
                weights.append(tensor)
            elif id(tensor) in self.remade:
                weights += self.remade[id(tensor)][1]
        # Each once: what is remade again and again, with itself, would have them double each time.
        operation.weights = list({id(weight): weight for weight in weights}.values())
        return operation

    def _ended(self, operation: Operation, output: Any) -> None:
        number, made = len(self.operations), list(tensors_in(output))
        # What reads no traced tensor (a parameter reshaped, a constant made) is no step on the photo's way, nor is what
        # gives none.
        if not operation.inputs or not made:
            self.remade |= {id(tensor): (tensor, operation.weights) for tensor in made}
            return
        self.operations.append(operation)
        for tensor in made:
            operation.shapes.append(tuple(tensor.shape))
            operation.itemsize = tensor.element_size()
            self.makers[id(tensor)] = (tensor, number)


def _version(tensor: Tensor) -> int:
    """How often it was written to; a tensor of the inference mode does not count that."""
    return -1 if tensor.is_inference() else tensor._version


def _name(func: Callable[..., Any]) -> str:
    name = getattr(func, "__name__", str(func))
    # A property is known by its path alone. A function is not: `torch.mm` is found as `torch.spmm` too. Those in a net
    # from `torch.export` are called "conv2d.default".
    return (resolve_name(func) or name).split(".")[-2] if name == "__get__" else name.split(".")[0].strip("_")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dicts, and those that an object of another kind has as attributes."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        yield from tensors_in(tuple(value.values()))
    elif attributes := getattr(value, "__dict__", None):
        # No deeper: an object may hold anything, even itself.
        yield from (part for part in attributes.values() if isinstance(part, Tensor))

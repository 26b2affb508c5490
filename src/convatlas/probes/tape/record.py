"""Record a tape: run a net once and write down every ATen operation between the photo and the target."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from convatlas.anatomy.measure.tracing.twin import Twin, twin
from convatlas.base.errors import ConvAtlasError
from convatlas.base.untouched import same_random_state
from convatlas.probes.tape.arguments import leaves, replaced
from convatlas.probes.tape.memory import Memory
from convatlas.probes.tape.tape import Operation, Slot, Tape

LEAVING = {
    torch.Tensor.numpy: "numpy()",
    torch.Tensor.tolist: "tolist()",
    torch.Tensor.item: "item()",
    torch.Tensor.__array__: "numpy.asarray",
    torch.Tensor.__dlpack__: "DLPack",
    torch.Tensor.data_ptr: "data_ptr()",
    torch.Tensor.__float__: "float()",
    torch.Tensor.__int__: "int()",
    torch.Tensor.__index__: "an index",
}
"""Functions by which a tensor's values leave PyTorch, in words. A comparison that a net branches on is none of them."""

SHAPE_ONLY = {
    *("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like"),
    *("new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided"),
}
"""Operations that read the shape and dtype of their argument, not its values."""

Score = Callable[[Any], Tensor]
"""Function of the net's output: the scores that are asked about, (N,) or (N, T) for T targets."""


def record(net: nn.Module | Twin, x: Tensor, score: Score | None = None) -> Tape:
    """Run a net and record the operations that depend on its input.

    The net runs as it would for its user, in evaluation mode, as a copy of its structure that shares its parameters.

    Args:
        net: Any module that takes one tensor, or its twin.
        x: Its input, (N, C, H, W) for photos.
        score: What the tape ends with; by default the net's output, which has to be one tensor then.

    Returns:
        The tape; `output` is the index of the scores.

    Raises:
        ConvAtlasError: The target does not depend on the photo, or the net did not run.
    """
    copy = net if isinstance(net, Twin) else recordable(net, x)
    recorder = _Recorder(copy)
    # A copy, since nets may write into their input.
    photo = x.detach().clone(memory_format=torch.preserve_format)
    recorder.begin(photo)
    # Attention is recorded as products and a softmax, not as one operation.
    plain = sdpa_kernel(SDPBackend.MATH)
    with same_random_state(), torch.no_grad(), plain, _naming(copy.net, recorder), _Leaving(recorder), recorder:
        output = copy.net(photo)
        scores = _only_tensor(output) if score is None else score(output)
    return recorder.end(scores)


def recordable(net: nn.Module, x: Tensor) -> Twin:
    """A copy of a net's structure, which may be recorded several times."""
    return twin(net, meta=x.is_meta, plain_hooks=True)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Let operations run that are not recorded, and nobody notices what leaves PyTorch."""
    with _disable_current_modes(), torch._C.DisableTorchFunction():
        yield


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes a tape while it is active."""

    def __init__(self, copy: Twin):
        super().__init__()  # type: ignore[no-untyped-call]
        self.tape = Tape()
        self.memory = Memory(self.tape)
        self.modules: list[str] = []
        self.own = {tensor.untyped_storage()._cdata for tensor in copy.constants.values()}

    def begin(self, photo: Tensor) -> None:
        self.tape.photo = self.memory.add(photo, True)

    def end(self, score: Tensor) -> Tape:
        index = self.index(score) if isinstance(score, Tensor) else None
        if index is None or not self.tape.depends[index]:
            raise ConvAtlasError("what the target returns does not depend on the photo")
        self.tape.output = index
        return self.tape

    @property
    def module(self) -> str:
        return self.modules[-1] if self.modules else ""

    def depends(self, tensor: Tensor) -> bool:
        """Whether a tensor is known to depend on the photo."""
        index = self.index(tensor)
        return index is not None and self.tape.depends[index]

    def index(self, tensor: Tensor) -> int | None:
        """Index of the value that a tensor holds; None if it is not on the tape."""
        with torch._C.DisableTorchFunction():
            if not _is_plain(tensor):
                return None
            known = self.memory.find(tensor)
        if known is not None:
            return known
        with unrecorded():
            return self.memory.number(tensor, self.module)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        # The recorder's own questions to tensors need not be noticed.
        with torch._C.DisableTorchFunction():
            return self._record(func, args, kwargs or {})

    def _record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and self.depends(args[0]) and args[0].dtype != torch.bool:
            self.leave("item()")
        read: list[int] = []
        slots = replaced((args, kwargs), Tensor, lambda tensor: self._slot(tensor, read))
        depends = _name(func) not in SHAPE_ONLY and any(self.tape.depends[index] for index in read)
        written = _written(func, args, kwargs)
        for tensor in written:
            self.memory.before_write(tensor)
        result = func(*args, **kwargs)
        for tensor in written:
            if tensor.is_conj() or tensor.is_neg():
                raise ConvAtlasError(f"{_name(func)} writes into a conjugated view, which cannot be followed")
        results = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        if written:
            self._write(func, slots, written, depends)
        elif any(isinstance(part, Tensor) for part in results):
            outputs = tuple(self._add(part, depends) if isinstance(part, Tensor) else None for part in results)
            if depends:
                self.tape.operations.append(Operation(_name(func), func, slots[0], slots[1], outputs, self.module))
        return result

    def leave(self, way: str) -> None:
        """Note that a value that depends on the photo leaves PyTorch."""
        where = f" in {self.module}" if self.module else ""
        phrase = f"a value leaves PyTorch by {way}{where}"
        if phrase not in self.tape.leaks:
            self.tape.leaks.append(phrase)

    def _slot(self, tensor: Tensor, read: list[int]) -> Slot:
        """The slot of a tensor that an operation reads, whose index is appended to `read`."""
        read.append(self._number(tensor))
        return Slot(read[-1])

    def _number(self, tensor: Tensor) -> int:
        if not _is_plain(tensor):
            raise ConvAtlasError(f"a {tensor.layout} tensor in {self.module or 'the net'} cannot be followed")
        index = self.memory.number(tensor, self.module)
        if index is None:
            index = self.memory.add(tensor, False)
            if tensor.untyped_storage()._cdata not in self.own:
                self.tape.strangers.append(index)
        return index

    def _add(self, tensor: Tensor, depends: bool) -> int:
        known = self.memory.find(tensor)
        # An operation may return its argument itself; on the tape it makes a value of its own.
        return self.memory.add(tensor, depends or (known is not None and self.tape.depends[known]))

    def _write(self, func: Any, slots: Any, written: list[Tensor], depends: bool) -> None:
        if not depends:
            for tensor in written:
                self.memory.after_write(tensor, False, self.module)
            return
        functional = _functional(func)
        if functional is None or len(written) != 1:
            raise ConvAtlasError(f"{_name(func)} in {self.module or 'the net'} writes in a way that cannot be followed")
        tape = self.tape
        operations, tape.operations = tape.operations, []
        index = self.memory.after_write(written[0], True, self.module)
        # The new value comes before what is made of it.
        after, tape.operations = tape.operations, operations
        tape.operations.append(
            Operation(_name(func).removesuffix("_"), functional, slots[0], slots[1], (index,), self.module)
        )
        tape.operations += after


class _Leaving(TorchFunctionMode):
    """Notices functions by which values leave PyTorch without an ATen operation."""

    def __init__(self, recorder: _Recorder):
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        way = LEAVING.get(func)
        if way is not None and isinstance(args[0], Tensor) and self.recorder.depends(args[0]):
            self.recorder.leave(way)
        return func(*args, **(kwargs or {}))


@contextmanager
def _naming(net: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Let hooks of the twin's modules tell the recorder which module runs, and what it returns."""
    handles = []
    for name, module in net.named_modules():

        def enter(_: nn.Module, __: Any, name: str = name) -> None:
            recorder.modules.append(name)

        def leave(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
            recorder.modules.pop()
            tensors = leaves(output, Tensor)
            index = recorder.index(tensors[0]) if tensors else None
            if index is not None and recorder.tape.depends[index]:
                recorder.tape.layers.setdefault(name, []).append(index)

        handles += [module.register_forward_pre_hook(enter, prepend=True), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _only_tensor(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    raise ConvAtlasError(
        f"the net returns a {type(output).__name__}: in Python, pass target=, a function that picks one score a photo, "
        "(N,), from it"
    )


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided


@functools.cache
def _name(func: Any) -> str:
    return str(func._schema.name).split("::")[-1]


@functools.cache
def _written_arguments(func: Any) -> list[tuple[int, str]]:
    """Position and name of each argument that an operation writes into."""
    return [
        (position, argument.name)
        for position, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that an operation writes into."""
    places = _written_arguments(func)
    return leaves([args[place] if place < len(args) else kwargs.get(name) for place, name in places], Tensor)


def _copy(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    return source.to(target.dtype).expand(target.shape)


def _functional(func: Any) -> Callable[..., Any] | None:
    """The operation that computes what an operation in place writes, with the same arguments."""
    name = _name(func)
    if name == "copy_":
        return _copy
    if not name.endswith("_"):
        return None
    packet = getattr(torch.ops.aten, name[:-1], None)
    return getattr(packet, func._overloadname, None)

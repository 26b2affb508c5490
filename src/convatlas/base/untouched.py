"""Contexts that restore a net on exit: its numbers, hooks, gradients and modes, and the random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Entries = dict[Any, Any]


@contextmanager
def untouched(net: nn.Module) -> Iterator[nn.Module]:
    """Let code change a net; on exit, also by an exception, the net is as it was on entry.

    Restored are parameters and buffers (the tensors, their numbers, `requires_grad`), gradients (hidden meanwhile:
    `grad` is None on entry), submodules, hooks and all other attributes of each module, training modes, and PyTorch's
    random state on the CPU and, if used, on CUDA. Attributes refer to the same objects as before, but changes within
    these objects remain; of TorchScript modules only tensors and modes are restored. It takes memory for a copy of the
    weights, and is not meant for a net that another thread uses at the same time.
    """
    entries = [(owned, dict(owned)) for module in net.modules() for owned in _dictionaries(module)]
    tensors = {id(tensor): _SavedTensor(tensor) for tensor in (*net.parameters(), *net.buffers())}
    with same_random_state(), _same_modes(net):
        try:
            for saved in tensors.values():
                saved.hide_gradient()
            yield net
        finally:
            for owned, before in entries:
                owned.clear()
                owned.update(before)
            for saved in tensors.values():
                saved.restore()


@contextmanager
def evaluating(net: nn.Module) -> Iterator[nn.Module]:
    """Put a net in evaluation mode; on exit each of its modules is in the mode it was in. It copies nothing."""
    with _same_modes(net):
        net.eval()
        yield net


@contextmanager
def same_buffers(net: nn.Module) -> Iterator[nn.Module]:
    """Restore the buffers of a net on exit, which a net may write to in evaluation mode too; it copies only these."""
    entries = [
        (module._buffers, dict(module._buffers))
        for module in net.modules()
        if not isinstance(module, torch.jit.ScriptModule)
    ]
    saved = [_SavedTensor(buffer) for buffer in net.buffers()]
    try:
        yield net
    finally:
        for owned, before in entries:
            owned.clear()
            owned.update(before)
        for each in saved:
            each.restore()


@contextmanager
def _same_modes(net: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in net.modules()}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def same_random_state() -> Iterator[None]:
    """Restore PyTorch's random state on exit: the CPU's, and that of every CUDA device if CUDA is in use."""
    cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(range(torch.cuda.device_count()) if cuda else []):
        yield


def _dictionaries(module: nn.Module) -> Iterator[Entries]:
    """The dictionaries of a module: its attributes, and those that hold its tensors, submodules and hooks."""
    # A TorchScript module keeps its tensors in views of its own, which cannot be emptied.
    if isinstance(module, torch.jit.ScriptModule):
        return
    yield module.__dict__
    yield from (value for value in module.__dict__.values() if isinstance(value, dict))


class _SavedTensor:
    """A tensor, and a copy of its numbers and settings to restore."""

    def __init__(self, tensor: Tensor):
        self.tensor, self.alias = tensor, tensor.data
        # A tensor on the meta device has no numbers.
        self.copy = None if tensor.is_meta else tensor.detach().clone()
        self.requires_grad = tensor.requires_grad
        self.grad = tensor.grad if tensor.is_leaf else None

    def hide_gradient(self) -> None:
        if self.grad is not None:
            self.tensor.grad = None

    def restore(self) -> None:
        if self.tensor.device != self.alias.device or self.tensor.data_ptr() != self.alias.data_ptr():
            self.tensor.data = self.alias
        # Only what was changed is written: weights may lie in memory that cannot be written to.
        if self.copy is not None and not _same_bits(self.alias, self.copy):
            self.alias.copy_(self.copy)
        if self.tensor.is_leaf:
            self.tensor.requires_grad_(self.requires_grad)
            self.tensor.grad = self.grad


def _same_bits(first: Tensor, second: Tensor) -> bool:
    if first.layout != torch.strided or first.is_quantized:
        return False
    bits = [tensor.contiguous().flatten().view(torch.uint8) for tensor in (first, second)]
    return torch.equal(*bits)

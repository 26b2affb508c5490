"""Copy a net's structure, so that the copy runs and the net itself is never changed."""

from __future__ import annotations

import copy
import functools
import types
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

PLAIN = (type(None), bool, int, float, complex, str, bytes, type, torch.dtype, torch.device, torch.Size)
SHARED = (torch.fx.Graph, types.ModuleType)
"""Types of values that a forward pass only reads, and that are slow to copy."""

READ_ONLY = PLAIN + SHARED
IMMUTABLE = frozenset(PLAIN)
CONTAINERS = frozenset((dict, OrderedDict, list, set))


@dataclass
class Twin:
    """A copy of a net's structure, in evaluation mode.

    Attributes:
        net: The copy.
        originals: Modules, parameters and buffers of the net, by the id of their copy.
        constants: All tensors that the copy holds, by their id.
    """

    net: nn.Module
    originals: dict[int, Any]
    constants: dict[int, Tensor]


def twin(net: nn.Module, meta: bool, plain_hooks: bool = False) -> Twin:
    """Copy a net's modules, attributes and buffers; the copy shares the net's parameters unless `meta` is set.

    Hooks that are plain functions are not copied, except PyTorch's own: they can reach anything outside the net.

    Args:
        net: Any module; it is only read.
        meta: Whether the copy's parameters and buffers are on the meta device.
        plain_hooks: Whether hooks that are plain functions are copied too.
    """
    memo: dict[int, Any] = {}
    modules: dict[int, tuple[nn.Module, nn.Module]] = {}
    for module in net.modules():
        if id(module) not in memo:
            scripted = isinstance(module, torch.jit.ScriptModule)
            memo[id(module)] = _Scripted(module, meta) if scripted else object.__new__(type(module))
            modules[id(module)] = module, memo[id(module)]
            # Submodules of a TorchScript module are not called separately.
            for part in module.modules() if scripted else ():
                memo.setdefault(id(part), part)
    for module, _ in modules.values():
        if not isinstance(module, torch.jit.ScriptModule):
            _copy_tensors(module, meta, memo)
    originals: dict[int, Any] = {id(new): old for old, new in modules.values()}
    for old, new in modules.values():
        if not isinstance(new, _Scripted):
            new.__dict__.update({name: _copy(name, value, memo, plain_hooks) for name, value in vars(old).items()})
            new.__dict__["training"] = False
            for owned in (old._parameters, old._buffers):
                originals |= {id(memo[id(tensor)]): tensor for tensor in owned.values() if tensor is not None}
    constants = {id(value): value for value in memo.values() if isinstance(value, Tensor)}
    return Twin(memo[id(net)], originals, constants)


def has_plain_hooks(net: nn.Module) -> bool:
    """Whether any hook of a net's forward pass is a plain function that is not PyTorch's own."""
    return any(
        _is_plain(hook)
        for module in net.modules()
        for name in ("_forward_hooks", "_forward_pre_hooks")
        for hook in (vars(module).get(name) or {}).values()
    )


class _Scripted(nn.Module):
    """Copy of a TorchScript module as one layer that accepts hooks, which TorchScript modules do not."""

    def __init__(self, script: nn.Module, meta: bool):
        super().__init__()
        # Moving a TorchScript module makes PyTorch warn about gradients that it does not have.
        with warnings.catch_warnings(action="ignore"):
            copied = copy.deepcopy(script).eval()
            # In a list, so that it is not a submodule.
            self._script = [copied.to("meta") if meta else copied]
        self.training = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._script[0](*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_script"][0], name)


def _copy_tensors(module: nn.Module, meta: bool, memo: dict[int, Any]) -> None:
    for weight in module._parameters.values():
        if weight is not None and id(weight) not in memo:
            memo[id(weight)] = nn.Parameter(weight.detach().to("meta"), weight.requires_grad) if meta else weight
    for buffer in module._buffers.values():
        if buffer is not None and id(buffer) not in memo:
            memo[id(buffer)] = buffer.detach().to("meta") if meta else buffer.detach().clone()
    for value in vars(module).values():
        if isinstance(value, Tensor) and id(value) not in memo:
            memo[id(value)] = value.detach().clone()


def _copy(name: str, value: Any, memo: dict[int, Any], plain_hooks: bool) -> Any:
    """Copy an attribute, replacing the net's modules and tensors by those of the twin."""
    # Nearly all attributes are of these exact types, tuples of them as strides are, or empty dicts of hooks.
    kind = type(value)
    if kind in IMMUTABLE or (kind is tuple and IMMUTABLE.issuperset(map(type, value))):
        return value
    if kind in CONTAINERS and not value and id(value) not in memo:
        return memo.setdefault(id(value), kind())
    if isinstance(value, READ_ONLY):
        return value
    if isinstance(value, Tensor):
        return memo[id(value)]
    if name in ("_parameters", "_buffers", "_modules"):
        # A tensor may be shared with a module that was copied whole.
        return type(value)((key, None if part is None else memo[id(part)]) for key, part in value.items())
    if name in ("_forward_hooks", "_forward_pre_hooks"):
        kept = ((key, hook) for key, hook in value.items() if plain_hooks or not _is_plain(hook))
        return OrderedDict((key, _deep(hook, memo)) for key, hook in kept)
    return _deep(value, memo)


def _deep(value: Any, memo: dict[int, Any]) -> Any:
    """Deep copy of a value, or the value itself if it cannot be copied (a lock, a generator, an open file)."""
    known = len(memo)
    try:
        return copy.deepcopy(value, memo)
    # A user's own class can raise anything.
    except Exception:
        while len(memo) > known:
            memo.popitem()
        return value


def _is_plain(hook: Any) -> bool:
    """Whether a hook is a plain function that is not PyTorch's own."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    plain = isinstance(hook, types.FunctionType | types.BuiltinFunctionType)
    return plain and not (getattr(hook, "__module__", None) or "").startswith("torch.")

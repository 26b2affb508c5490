"""Compute a float32 net in float64, whatever its code says about dtypes.

A copy of the net has its parameters and buffers in float64. All other tensors that it meets are widened just before an
operation reads them (a kernel kept as a plain attribute), and every dtype that it names is replaced (`.float()`,
`torch.eye(4)`), so the net's code need not be written for float64.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

WIDER = {torch.float32: torch.float64, torch.complex64: torch.complex128}


def run_in_float64(net: nn.Module, x: Tensor) -> Tensor | None:
    """Outputs of a net for `x`, computed in float64 throughout; None if it cannot be computed that way."""
    try:
        twin = float64_copy(net)
        with torch.inference_mode(), _Widening():
            y: Any = twin(x.double())
    # A net of the user may raise anything; quantized layers, for example, exist in float32 only.
    except Exception:
        return None
    return y if isinstance(y, Tensor) and y.dtype == torch.float64 else None


def float64_copy(net: nn.Module) -> nn.Module:
    """Copy a net with its parameters and buffers in float64; `Module.double` may compute constants again instead."""
    with torch.no_grad():
        twin = copy.deepcopy(net)
        for module in twin.modules():
            # The tensors of a TorchScript module cannot be exchanged.
            if isinstance(module, torch.jit.ScriptModule):
                continue
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None and tensor.is_floating_point():
                        wide = tensor.detach().double()
                        tensors[name] = nn.Parameter(wide) if isinstance(tensor, nn.Parameter) else wide  # type: ignore[assignment]
    return twin


class _Widening(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Replaces every float32 tensor and dtype that an operation reads or returns by its float64 counterpart."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # One wide copy of each storage, so that views of it still share their numbers; the original keeps its address.
        self.wide: dict[tuple[int, torch.dtype], tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # An exported program asserts the dtypes that it was traced with.
        if func is torch.ops.aten._assert_tensor_metadata.default:
            return None
        args, kwargs = tree_map(self.widened, (args, kwargs or {}))
        return tree_map(self.widened, func(*args, **kwargs))

    def widened(self, value: Any) -> Any:
        """Return the counterpart of a tensor or a dtype; anything else as it is."""
        if isinstance(value, torch.dtype):
            return WIDER.get(value, value)
        if not isinstance(value, Tensor) or value.dtype not in WIDER:
            return value
        storage = value.untyped_storage()
        key = storage.data_ptr(), value.dtype
        if key not in self.wide:
            numbers = value.detach().as_strided((storage.nbytes() // value.element_size(),), (1,), 0)
            self.wide[key] = value, numbers.to(WIDER[value.dtype])
        return self.wide[key][1].as_strided(value.size(), value.stride(), value.storage_offset())

"""A net in another precision, beside the net itself."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.anatomy.measure.tracing.twin import twin


def doubled(net: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A copy of a net's structure in evaluation mode whose floats are float64, or another; the net keeps its own."""
    copied = twin(net, meta=False, plain_hooks=True).net
    made: dict[int, Tensor] = {}

    def double(value: Tensor) -> Tensor:
        # A tensor that is used twice stays one.
        if value.is_floating_point() and id(value) not in made:
            exact = value.detach().to(dtype)
            made[id(value)] = nn.Parameter(exact, value.requires_grad) if isinstance(value, nn.Parameter) else exact
        return made.get(id(value), value)

    for module in list(copied.modules()):
        owners: tuple[dict[str, Any], ...] = (module._parameters, module._buffers, vars(module))
        for owned in owners:
            owned.update({name: double(value) for name, value in owned.items() if isinstance(value, Tensor)})
        for name, child in module._modules.items():
            module._modules[name] = _script(child, dtype)
    result: nn.Module = _script(copied, dtype)
    return result


def _script(module: Any, dtype: torch.dtype) -> Any:
    """The TorchScript module that a twin holds as one layer, in a precision; any other module as it is."""
    # Moving a TorchScript module makes PyTorch warn about gradients that it does not have.
    with warnings.catch_warnings(action="ignore"):
        return module._script[0].to(dtype) if module is not None and "_script" in vars(module) else module

"""Count parameters and depth as Keras does, for any net."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from convatlas.anatomy.measure.tracing.stored_weights import is_leaf

RUNNING = ("running_mean", "running_var")
"""Names of the running statistics in PyTorch's normalizations, and in most others."""


def statistics(module: nn.Module) -> list[Tensor]:
    """Running statistics of a module without its submodules: buffers that training updates without gradients."""
    named = getattr(module, "statistics", ())
    # An attribute `statistics` of a foreign module may be anything.
    names = (*RUNNING, *named) if isinstance(named, tuple) else RUNNING
    # A TorchScript module has no dictionary of its buffers.
    buffers = dict(module.named_buffers(recurse=False))
    return [buffers[name] for name in names if name in buffers]


def parameters(module: nn.Module) -> tuple[int, int]:
    """Numbers of (all, trainable) parameters of a module and its submodules; the first includes running statistics."""
    weights = list(module.parameters())
    running = sum(tensor.numel() for part in module.modules() for tensor in statistics(part))
    trainable = sum(weight.numel() for weight in weights if weight.requires_grad)
    return sum(weight.numel() for weight in weights) + running, trainable


def weighted_layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers that own weights; a composite that declares `counts_as_one` is one layer."""
    if getattr(module, "counts_as_one", False) or is_leaf(module):
        if parameters(module)[0]:
            yield module
        return
    for child in module.children():
        yield from weighted_layers(child)


def depth(net: nn.Module) -> int:
    """Number of layers that own weights: what Keras' table calls depth."""
    return len({id(layer) for layer in weighted_layers(net)})

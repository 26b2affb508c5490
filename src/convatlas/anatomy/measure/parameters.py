"""Parameters and depth as Keras counts them, for any net."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

RUNNING = ("running_mean", "running_var")
"""What PyTorch's normalizations, and those of others after them, call their statistics."""


def statistics(module: nn.Module) -> list[Tensor]:
    """The module's own running statistics: numbers that training fills, but no gradient does."""
    named = getattr(module, "statistics", ())
    # In a net that is not ours, `statistics` may be anything.
    names = (*RUNNING, *named) if isinstance(named, tuple) else RUNNING
    # A TorchScript module has no dictionary of its buffers.
    buffers = dict(module.named_buffers(recurse=False))
    return [buffers[name] for name in names if name in buffers]


def parameters(module: nn.Module) -> tuple[int, int]:
    """(all, trainable) parameters of a module and all below it; running statistics belong to the first."""
    weights = list(module.parameters())
    still = sum(tensor.numel() for part in module.modules() for tensor in statistics(part))
    trainable = sum(weight.numel() for weight in weights if weight.requires_grad)
    return sum(weight.numel() for weight in weights) + still, trainable


def weighted_layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers that own weights; a composite that declares `counts_as_one` is one of them."""
    children = list(module.children())
    if getattr(module, "counts_as_one", False) or not children:
        if parameters(module)[0]:
            yield module
        return
    for child in children:
        yield from weighted_layers(child)


def depth(net: nn.Module) -> int:
    """How many layers own weights: what Keras' table calls depth."""
    return len({id(layer) for layer in weighted_layers(net)})

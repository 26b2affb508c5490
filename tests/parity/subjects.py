"""Our side: nets with random weights that are worth comparing, and their weights in the order of the calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from convatlas.genes.normalization import Rescale, Standardize
from convatlas.nets.build import build, skeleton
from convatlas.nets.net import Net

POSITIONS = 256
"""Each channel's statistics are taken over at least so many positions, however small the last map is.

With 64 the deepest nets (EfficientNetV2L) are not calibrated for other photos: maps grow a thousandfold, rounding too.
"""


@contextlib.contextmanager
def double() -> Iterator[None]:
    """Everything made inside is float64, constants too: those that pass through float32 lose nine digits."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def subject(name: str, size: int, seed: int = 0) -> tuple[Net, Tensor]:
    """A net in float64 and two photos (2, 3, size, size) for it.

    All weights are random and BatchNorm's statistics those of random photos, so that no layer fades out and each one
    counts. Weights and photos are numbers that float32 holds too: a float32 copy is the same net.
    """
    draw = torch.Generator().manual_seed(seed)
    with double():
        net = build(name, size=size).eval()
    fill(net, draw)
    calibrate(net, photos(net, count(name, size), size, draw))
    return net, photos(net, 2, size, draw)


@torch.no_grad()
def fill(net: nn.Module, draw: torch.Generator) -> None:
    """Random weights: kernels as He et al. 2015, gains in 0.5..1.5, biases and learned statistics far from trivial."""
    for module in net.modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight.dim() > 1:
                weight.normal_(0, (2 / weight[0].numel()) ** 0.5, generator=draw)
            elif name == "weight":
                weight.uniform_(0.5, 1.5, generator=draw)
            else:
                # The stem of ResNet v2 needs maps that are negative throughout: only they show the pool's border.
                wide = isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1
                weight.normal_(0, 1 if wide else 0.3, generator=draw)
            weight.copy_(weight.float())
        if isinstance(module, Standardize) and module.statistics:
            module.mean.uniform_(0.3, 0.6, generator=draw).copy_(module.mean.float())
            module.variance.uniform_(0.04, 0.09, generator=draw).copy_(module.variance.float())


def photos(net: nn.Module, number: int, size: int, draw: torch.Generator) -> Tensor:
    """(number, 3, size, size): pixels in 0..255 for a net that normalizes them itself, else around 0."""
    inside = any(isinstance(module, Rescale | Standardize) for module in net.modules())
    x = torch.randn(number, 3, size, size, generator=draw)
    return (x.sigmoid() * 255 if inside else x).double()


def count(name: str, size: int) -> int:
    """Number of photos that give the last map `POSITIONS` positions in all."""
    maps = skeleton(name, size=size).eval().outputs(torch.empty(1, 3, size, size, device="meta"))
    last = [y for y in maps.values() if y.dim() == 4][-1]
    return -(-POSITIONS // last[0, 0].numel())


@torch.no_grad()
def calibrate(net: nn.Module, x: Tensor) -> None:
    """Sets the statistics of all BatchNorms to those of `x`."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean, here of one batch
        norm.train()
    net(x)
    for norm in norms:
        norm.eval()
        for statistic in (norm.running_mean, norm.running_var):
            statistic.copy_(statistic.float())


def tensors(layer: nn.Module) -> list[Tensor]:
    """What a file of weights holds of a layer: parameters first, then statistics."""
    return [tensor for name, tensor in layer.state_dict().items() if name != "num_batches_tracked"]


@torch.no_grad()
def call_order(net: nn.Module, x: Tensor) -> list[nn.Module]:
    """The layers that own weights, in the order in which they are called; each must compute in the type of `x`."""
    called: list[nn.Module] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        assert y.dtype == x.dtype, layer
        called.append(layer)

    owners = [m for m in net.modules() if [*m.parameters(recurse=False), *m.buffers(recurse=False)]]
    hooks = [owner.register_forward_hook(note) for owner in owners]
    net(x)
    for hook in hooks:
        hook.remove()
    return called

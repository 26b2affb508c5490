"""Values of the probes of image recovery, written out for nets of two layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.probes.explain import explain
from convatlas.probes.recovery.rect_grad import RectGrad

SIZE = (3, 8, 8)
X = torch.randn(SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Two(nn.Module):
    """A convolution, a ReLU, max pooling, another convolution and ReLU, and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 3, padding=1)
        self.head = nn.Linear(4 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.relu(self.second(F.max_pool2d(F.relu(self.first(x)), 2)))
        return self.head(maps.flatten(1))


@pytest.fixture
def net() -> Two:
    torch.manual_seed(0)
    return Two().eval().double()


def back(net: Two, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The gradient at the photo if both ReLUs pass gradients by another rule."""
    x = X[None].clone().requires_grad_()
    first = net.first(x)
    active = F.relu(first)
    second = net.second(F.max_pool2d(active, 2))
    at_relu = net.head.weight[1].detach().view(second.shape)
    at_second = change(second.detach(), at_relu)
    (at_active,) = torch.autograd.grad(second, active, at_second, retain_graph=True)
    (at_x,) = torch.autograd.grad(first, x, change(first.detach(), at_active))
    return at_x[0]


@pytest.mark.parametrize("percentile", [0.0, 50.0, 80.0, 98.0])
def test_rect_grad_passes_the_largest_shares(net: Two, percentile: float) -> None:
    def change(z: Tensor, gradient: Tensor) -> Tensor:
        share = F.relu(z) * gradient
        return gradient * (share > max(float(np.percentile(share, percentile)), 0))

    found = explain(net, X, RectGrad(percentile), 1).values
    assert found.any()
    np.testing.assert_allclose(found, X * back(net, change), rtol=0, atol=1e-12)


def test_guided_grad_cam_is_guided_backprop_times_grad_cam(net: Two) -> None:
    guided = back(net, lambda z, gradient: gradient.clamp(min=0) * (z > 0))
    with torch.no_grad():
        maps = F.relu(net.second(F.max_pool2d(F.relu(net.first(X[None])), 2)))
    weights = net.head.weight[1].detach().view(maps.shape).mean((2, 3), keepdim=True)
    cam = (weights * maps).sum(1, keepdim=True).clamp(min=0)
    expected = guided * F.interpolate(cam, SIZE[1:], mode="bilinear")[0]
    found = explain(net, X, "guided_grad_cam", 1)
    assert found.values.any()
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-12)

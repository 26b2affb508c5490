"""Values of the probes of gradients, against closed forms and plain autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.probes.explain import explain
from convatlas.probes.gradient.expected_gradients import ExpectedGradients
from convatlas.probes.gradient.full_grad import FullGrad
from convatlas.probes.gradient.smooth_grad import SmoothGrad
from convatlas.probes.gradient.square_grad import SquareGrad
from convatlas.probes.gradient.var_grad import VarGrad
from tests.probes.additive import Additive

SIZE = (3, 6, 6)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, BACKGROUND = random(*SIZE, seed=1), random(*SIZE, seed=2)


class Quadratic(nn.Module):
    """Half the weighted squares of the pixels: its gradient is weight · x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(random(2, *SIZE, seed=3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", x.square() / 2, self.weight)


class Convolved(nn.Module):
    """Two convolutions of the input's size or half of it, a smooth function between them, and a dense layer."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, stride, padding=1)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.second(F.silu(self.first(x)))).mean((2, 3)))


def convolved(stride: int = 1) -> Convolved:
    torch.manual_seed(0)
    return Convolved(stride).eval().double()


def values(net: nn.Module, probe: object, **options: object) -> np.ndarray:
    result: np.ndarray = explain(net, X, probe, 1, **options).values
    return result


@pytest.mark.parametrize(("samples", "backgrounds"), [(8, 1), (12, 4)])
def test_expected_gradients_of_a_linear_net_are_its_weights_times_the_mean_difference(
    samples: int, backgrounds: int
) -> None:
    net, pool = Additive(SIZE, 2), random(backgrounds, *SIZE, seed=4)
    result = explain(net, X, ExpectedGradients(samples), 1, concepts={"background": list(pool)})
    expected = (net.weight[1] * (X - pool.mean(0))).detach()
    assert np.allclose(result.values, expected, rtol=0, atol=1e-12)
    assert result.residual <= 1e-12


def test_without_photos_the_backgrounds_are_noisy_copies() -> None:
    net = Additive(SIZE, 2)
    exact = (net.weight[1] * (X - BACKGROUND)).detach().numpy()
    still = values(net, ExpectedGradients(4, noise=0), background=BACKGROUND)
    assert np.allclose(still, exact, rtol=0, atol=1e-12)
    noisy = explain(net, X, ExpectedGradients(64, noise=0.1), 1, background=BACKGROUND)
    deviations = (noisy.values - exact) / noisy.standard_error
    # The mean of 64 draws lies within its own standard error in about two of three pixels.
    assert 0.8 <= np.sqrt(np.square(deviations).mean()) <= 1.2


def test_expected_gradients_of_a_quadratic_net() -> None:
    net, samples = Quadratic(), 16
    found = values(net, ExpectedGradients(samples, noise=0), background=BACKGROUND)
    step = X - BACKGROUND
    # The mean over t of step · weight · (b + t · step); all pixels share the mean of t, drawn once from each stratum.
    before, along = (net.weight[1] * step * BACKGROUND).detach(), (net.weight[1] * step.square()).detach()
    t = (torch.from_numpy(found) - before) / along
    assert float(t.max() - t.min()) <= 1e-9
    assert abs(float(t.mean()) - 0.5) <= 0.5 / samples


def test_the_three_probes_of_noise_have_the_same_samples() -> None:
    net, samples = convolved(), 6
    smooth = explain(net, X, SmoothGrad(samples), 1)
    squares, variance = values(net, SquareGrad(samples)), values(net, VarGrad(samples))
    unbiased = (squares - smooth.values**2) * samples / (samples - 1)
    assert np.allclose(variance, unbiased, rtol=1e-9, atol=1e-15)
    assert np.allclose(smooth.standard_error**2, variance / samples, rtol=1e-9, atol=1e-15)


def test_the_noise_has_the_deviation_that_was_asked_for() -> None:
    net = Quadratic()
    weights = net.weight[1].detach().numpy()
    noise = np.sqrt(values(net, VarGrad(samples=100, noise=0.2)) / weights**2)
    assert noise.mean() == pytest.approx(0.2 * float(X.max() - X.min()), rel=0.02)
    mean = values(net, SmoothGrad(100, noise=0.2)) / weights - X.numpy()
    assert np.sqrt(np.square(mean).mean()) == pytest.approx(noise.mean() / 10, rel=0.2)


@pytest.mark.parametrize("absolute", [False, True])
def test_full_grad_adds_biases_where_they_act(absolute: bool) -> None:
    net = convolved()
    found = explain(net, X, FullGrad(absolute), 1)
    x = X[None].clone().requires_grad_()
    first = net.first(x)
    smooth = F.silu(first)
    second = net.second(smooth)
    score = net.head(F.relu(second).mean((2, 3)))[0, 1]
    at_x, at_first, at_smooth, at_second = torch.autograd.grad(score, (x, first, smooth, second))
    slope = torch.sigmoid(first) * (1 + first * (1 - torch.sigmoid(first)))
    parts = [
        x * at_x,
        net.first.bias.view(1, -1, 1, 1) * at_first,
        (smooth - slope * first) * at_smooth,
        net.second.bias.view(1, -1, 1, 1) * at_second,
    ]
    expected = sum((part.abs() if absolute else part)[0].sum(0).detach() for part in parts)
    assert np.allclose(found.values, expected, rtol=0, atol=1e-12)
    if not absolute:
        assert found.ledger == pytest.approx({"biases without a place": float(net.head.bias[1].detach())})


def test_coarse_biases_are_enlarged_and_keep_their_sum() -> None:
    net = convolved(stride=2)
    with torch.no_grad():
        for parameter in (net.first.bias, net.second.bias, net.head.bias):
            parameter.zero_()
    plain = values(net, FullGrad())
    with torch.no_grad():
        net.second.bias.fill_(1e-7)
    biased = values(net, FullGrad())
    second = net.second(F.silu(net.first(X[None])))
    at_second = torch.autograd.grad(net.head(F.relu(second).mean((2, 3)))[0, 1], second)[0]
    change = (biased - plain) / 1e-7
    coarse = at_second[0].sum(0).numpy()
    assert change.sum() == pytest.approx(coarse.sum(), rel=1e-5)
    blocks = change.reshape(3, 2, 3, 2).sum((1, 3))
    assert np.corrcoef(blocks.ravel(), coarse.ravel())[0, 1] > 0.9


class Gates(nn.Module):
    """SiLU, GELU, squeeze-and-excitation, a normalization and attention, whose gates can be held constant."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, padding=1)
        self.squeeze, self.norm, self.head = nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2)
        self.hold = False

    def held(self, gate: Tensor) -> Tensor:
        return gate.detach() if self.hold else gate

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y = y * self.held(torch.sigmoid(y)) if self.hold else F.silu(y)
        y = y * self.held(torch.sigmoid(self.squeeze(y.mean((2, 3)))))[:, :, None, None]
        y = self.second(y)
        y = y * self.held(torch.special.ndtr(y)) if self.hold else F.gelu(y)
        tokens = y.flatten(2).mT
        if self.hold:
            centred = tokens - tokens.mean(-1, keepdim=True)
            deviation = (centred.square().mean(-1, keepdim=True) + self.norm.eps).sqrt()
            tokens = centred / deviation.detach() * self.norm.weight + self.norm.bias
        else:
            tokens = self.norm(tokens)
        attention = self.held(torch.softmax(tokens @ tokens.mT / 2, -1))
        return self.head((attention @ tokens).mean(1))


def test_libra_grad_is_gradient_times_input_with_gates_held() -> None:
    torch.manual_seed(0)
    net = Gates().eval().double()
    for normalized in (net.norm.weight, net.norm.bias):
        nn.init.uniform_(normalized)
    found = explain(net, X, "libra_grad", 1)
    net.hold = True
    x = X[None].clone().requires_grad_()
    score = net(x)[0, 1]
    (gradient,) = torch.autograd.grad(score, x)
    assert np.allclose(found.values, (x * gradient)[0].detach(), rtol=0, atol=1e-12)
    assert found.values.sum() + sum(found.ledger.values()) == pytest.approx(float(score), rel=1e-10)

"""Identities that hold exactly, in float64: what a probe promises is what it gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas as ca
from convatlas.probes.attribution import Attribution
from convatlas.probes.cam.ablation_cam import AblationCam
from convatlas.probes.explain import explain
from convatlas.probes.gradient.full_grad import FullGrad
from convatlas.probes.gradient.integrated_gradients import IntegratedGradients
from convatlas.probes.gradient.smooth_grad import SmoothGrad
from convatlas.probes.gradient.var_grad import VarGrad
from convatlas.probes.relevance.deep_lift import DeepLift
from convatlas.probes.relevance.excitation_backprop import ExcitationBackprop
from convatlas.probes.relevance.lrp import Lrp
from tests.probes.nets import Functional, Gated


class Linear(nn.Module):
    """A sum of all pixels with fixed weights."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3 * 8 * 8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x.flatten(1))


class Rectified(nn.Module):
    """ReLUs and max pooling without biases, and a dense layer on flattened maps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 8, 3, bias=False)
        self.dense = nn.Linear(8 * 2 * 2, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.dense(F.relu(self.conv2(F.pad(y, (0, 1, 0, 1)))).flatten(1))


class Pooled(nn.Module):
    """Global average pooling and one dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(F.relu(self.conv(x)).mean((2, 3)))


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(3)
    return kind().eval().double()


X = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
ZERO = torch.zeros_like(X)


def values(net: nn.Module, probe: object, **options: object) -> np.ndarray:
    result = explain(net, X, probe, 1, **options)
    assert isinstance(result, Attribution)
    return result.values


def test_without_biases_all_of_these_are_gradient_times_input() -> None:
    net = made(Rectified)
    expected = values(net, "gradient_x_input", background=ZERO)
    score = float(net(X[None])[0, 1])
    assert math.isclose(expected.sum(), score, rel_tol=1e-12)
    for probe in (
        IntegratedGradients(tolerance=1e-6),
        DeepLift(),
        Lrp("epsilon", epsilon=1e-12),
        "libra_grad",
    ):
        found = values(net, probe, background=ZERO)
        assert np.allclose(found, expected, rtol=0, atol=1e-6 * abs(expected).max()), probe
    assert math.isclose(values(net, "full_grad").sum(), score, rel_tol=1e-12)


@pytest.mark.parametrize("kind", [Functional, Gated, Pooled])
def test_full_grad_sums_to_the_score_with_what_has_no_place(kind: type[nn.Module]) -> None:
    net = made(kind)
    result = explain(net, X, "full_grad", 1)
    total = result.values.sum() + sum(result.ledger.values())
    assert math.isclose(total, float(net(X[None])[0, 1]), rel_tol=1e-10)
    assert explain(net, X, FullGrad(absolute=True), 1).values.min() >= 0


@pytest.mark.parametrize(("path", "tolerance"), [("straight", 0.003), ("blur", 0.003)])
def test_integrated_gradients_are_complete(path: str, tolerance: float) -> None:
    net = made(Gated)
    result = explain(net, X, IntegratedGradients(path, tolerance, steps=64), 1)
    assert result.residual is not None
    assert result.residual <= tolerance
    assert result.backwards >= 16
    if path == "straight":
        assert math.isclose(
            result.values.sum(), result.score - result.background_score, abs_tol=0.004 * abs(result.score)
        )


def test_the_guided_path_is_complete_in_the_limit() -> None:
    net = made(Functional)
    coarse, fine = (explain(net, X, IntegratedGradients("guided", 1e-9, steps), 1).residual for steps in (4, 16))
    assert fine < coarse
    assert fine < 0.02


def test_the_gradient_of_a_linear_net_is_its_weights_everywhere() -> None:
    net = made(Linear)
    weights = net.dense.weight[1].view(3, 8, 8).detach().numpy()
    assert np.allclose(values(net, "saliency"), weights, atol=1e-14)
    assert np.allclose(values(net, SmoothGrad(samples=3)), weights, atol=1e-14)
    assert np.allclose(values(net, VarGrad(samples=3)), 0, atol=1e-28)
    assert np.allclose(values(net, "square_grad"), weights**2, atol=1e-14)


def test_smooth_grad_tends_to_the_gradient() -> None:
    net = made(Gated)
    assert np.allclose(values(net, SmoothGrad(4, 1e-7)), values(net, "saliency"), atol=1e-6)


def test_class_activation_maps_agree_where_only_averaging_follows() -> None:
    net = made(Pooled)
    maps = F.relu(net.conv(X[None]))[0]
    weights = net.dense.weight[1]
    cam = (weights[:, None, None] * maps).sum(0).detach().numpy()
    assert np.allclose(values(net, "cam"), cam, atol=1e-14)
    places = cam.size
    for probe in ("grad_cam", "hires_cam"):
        assert np.allclose(values(net, probe) * places, cam, atol=1e-14)
    bias = float(net.dense.bias[1])
    assert math.isclose(values(net, "hires_cam").sum() + bias, float(net(X[None])[0, 1]), rel_tol=1e-12)
    stretched = [(m - m.min()) / (m.max() - m.min()) for m in (values(net, "x_grad_cam"), cam)]
    assert np.allclose(*stretched, atol=1e-12)


def test_grad_cam_is_not_hires_cam_where_places_have_weights_of_their_own() -> None:
    net = made(Rectified)
    assert not np.allclose(values(net, "grad_cam"), values(net, "hires_cam"), atol=1e-6)
    with pytest.raises(ca.ConvAtlasError, match="more than averaging"):
        values(net, "cam")


def test_ablation_by_one_way_back_is_ablation_by_leaving_out() -> None:
    net = made(Pooled)
    maps = F.relu(net.conv(X[None]))
    losses = []
    for channel in range(6):
        left = maps.clone()
        left[:, channel] = 0
        losses.append(float((net.dense(maps.mean((2, 3))) - net.dense(left.mean((2, 3))))[0, 1]))
    expected = (torch.tensor(losses).view(-1, 1, 1) * maps[0]).sum(0).detach().numpy()
    result = explain(net, X, AblationCam(), 1)
    assert np.allclose(result.values, expected, atol=1e-14)
    assert result.forwards == 1


def test_ablation_runs_only_the_tail_where_that_is_not_linear() -> None:
    net = made(Rectified)
    y = net.conv1(X[None])
    losses = []
    for channel in range(8):
        left = y.clone()
        left[:, channel] = 0
        pooled = [F.pad(F.max_pool2d(F.relu(each), 2), (0, 1, 0, 1)) for each in (y, left)]
        score = [net.dense(F.relu(net.conv2(each)).flatten(1))[0, 1] for each in pooled]
        losses.append(float(score[0] - score[1]))
    expected = (torch.tensor(losses).view(-1, 1, 1) * y[0]).sum(0).detach().numpy()
    result = explain(net, X, AblationCam(), 1, layer="conv1")
    assert result.values.shape == expected.shape
    assert np.allclose(result.values, expected, atol=1e-12), result.layer


def test_excitation_is_a_probability_where_all_connections_excite() -> None:
    net = made(Pooled)
    with torch.no_grad():
        net.dense.weight.abs_()
        net.dense.bias.zero_()
    assert math.isclose(explain(net, X, "excitation_backprop", 1).values.sum(), 1.0, rel_tol=1e-12)
    contrast = explain(net, X, ExcitationBackprop(contrastive=True), 1).values
    assert math.isclose(contrast.sum(), 1.0, rel_tol=1e-12)


def test_contrastive_relevance_sums_to_nothing() -> None:
    assert abs(values(made(Functional), "contrastive_lrp").sum()) <= 1e-12


def test_reveal_cancel_sees_what_rescale_misses() -> None:
    """min(a, b) = a − relu(a − b) from (0, 0) to (10, 6): the example of Shrikumar et al. 2017, figure 1."""

    class Smallest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.difference, self.out = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            pixels = x.flatten(1)
            rest = F.relu(self.difference(pixels))
            return self.out(torch.cat([pixels[:, :1], rest], 1))

    net = Smallest().double()
    with torch.no_grad():
        net.difference.weight.copy_(torch.tensor([[1.0, -1.0]]))
        net.out.weight.copy_(torch.tensor([[1.0, -1.0]]))
    x, b = torch.tensor([[[10.0, 6.0]]]).double(), torch.zeros(1, 1, 2).double()
    rescale = explain(net, x, DeepLift(), 0, background=b).values.flatten()
    reveal = explain(net, x, DeepLift("reveal_cancel"), 0, background=b).values.flatten()
    assert np.allclose(rescale, [0, 6])
    # Δ⁺ = 10, Δ⁻ = −6: relu's Δy⁺ = (10 + 4)/2 = 7 and Δy⁻ = (0 − 6)/2 = −3, so a has 10 − 7 and b has 3.
    assert np.allclose(reveal, [3, 3])

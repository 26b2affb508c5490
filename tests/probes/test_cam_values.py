"""Class activation maps equal their formulas, written here in plain PyTorch on maps and gradients that hooks read.

Compared once, by hand, with pytorch-grad-cam 1.5.7 on both nets at the last layer, with black as background, before its
final max(·, 0) and its stretching to 0..1. Equal to 1e-6 of the largest value: Grad-CAM, element-wise, Layer-, HiRes-,
XGrad-, Shapley-, Eigen- and EigenGrad-CAM, the last up to the sign, which the peer leaves open. It differs in these:

- Grad-CAM++ (up to 5 %): it adds 1e-6 to the denominator, which is not small beside squares of small gradients.
- Score-CAM (3e-4): it enlarges maps with their corners aligned.
- Ablation-CAM: it divides by the score, as the paper does, which turns the map where the score is negative.
- FEM: it weights maps by their share of strong places; the method weights marks of these places by the maps' means.
- KPCA-CAM (correlation 0.999, up to the sign): it does not scale maps to one variance, so that its kernel is almost
  linear where maps are small.
- Refine-CAM (correlation 0.99): it stretches each map from its smallest value, and its Grad-CAM++ differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.probes.attribution import Attribution
from convatlas.probes.cam.ablation_cam import AblationCam
from convatlas.probes.cam.fem import Fem
from convatlas.probes.cam.is_cam import IsCam
from convatlas.probes.cam.kpca_cam import KpcaCam
from convatlas.probes.cam.refine_cam import RefineCam
from convatlas.probes.cam.smooth_grad_cam_plus_plus import SmoothGradCamPlusPlus
from convatlas.probes.cam.ss_cam import SsCam
from convatlas.probes.explain import explain

CLASS = 1

HEADS: dict[str, Callable[[], list[nn.Module]]] = {
    "linear": lambda: [nn.Linear(24, 4)],
    "curved": lambda: [nn.Linear(24, 10), nn.Softplus(), nn.Linear(10, 4)],
}
"""What follows the pooled maps."""


def net(head: str) -> nn.Sequential:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 6, 3, stride=2), nn.ReLU(), nn.AvgPool2d((2, 3)), nn.Flatten()]
    return nn.Sequential(*body, *HEADS[head]()).eval().double()


NETS = {head: net(head) for head in HEADS}
X, BACKGROUND = torch.rand(2, 1, 3, 13, 15, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
EARLY, SIGNED, LAST = "1", "2", "3"


@dataclass
class Known:
    """What the formulas are made of.

    Attributes:
        score: Function from the maps of a layer, (n, K, h, w), to the score of the class, (n,).
        photo: Function from photos to the same.
        maps: Its maps of the photo, (K, h, w).
        gradients: Gradients of the score at them.
    """

    score: Callable[[Tensor], Tensor]
    photo: Callable[[Tensor], Tensor]
    maps: Tensor
    gradients: Tensor


def known(head: str, layer: str = LAST) -> Known:
    module = NETS[head]
    kept: list[Tensor] = []
    hook = module[int(layer)].register_forward_hook(lambda _, inputs, output: kept.append(output))
    score = module(X)[0, CLASS]
    hook.remove()
    (gradients,) = torch.autograd.grad(score, kept)
    tail = module[int(layer) + 1 :]
    return Known(
        lambda maps: tail(maps)[:, CLASS], lambda x: module(x)[:, CLASS].detach(), kept[0][0].detach(), gradients[0]
    )


def grad_cam(net: Known) -> Tensor:
    return torch.einsum("k,khw->hw", net.gradients.mean((1, 2)), net.maps)


def grad_cam_plus_plus(net: Known) -> Tensor:
    """Equations 7, 10 and 19 of the paper, place by place."""
    total = torch.zeros_like(net.maps[0])
    for a, g in zip(net.maps, net.gradients, strict=True):
        weight = 0.0
        for slope in g.flatten().tolist():
            if slope > 0:
                weight += slope**2 / (2 * slope**2 + float(a.sum()) * slope**3) * slope
        total += weight * a
    return total


def element_wise(net: Known) -> Tensor:
    return F.relu(net.gradients * net.maps).sum(0)


def layer_cam(net: Known) -> Tensor:
    return (F.relu(net.gradients) * net.maps).sum(0)


def hires_cam(net: Known) -> Tensor:
    return (net.gradients * net.maps).sum(0)


def x_grad_cam(net: Known) -> Tensor:
    weights = [(g * a / a.sum()).sum() if a.any() else 0 for a, g in zip(net.maps, net.gradients, strict=True)]
    return sum((w * a for w, a in zip(weights, net.maps, strict=True)), torch.zeros_like(net.maps[0]))


def score_cam(net: Known, fade: Callable[[Tensor], list[Tensor]] = lambda mask: [mask]) -> Tensor:
    """Algorithm 1 of the paper; the photo's background instead of black."""
    scores = []
    for a in net.maps:
        mask = F.interpolate(a[None, None], X.shape[2:], mode="bilinear")
        mask = (mask - mask.min()) / (mask.max() - mask.min()) if mask.max() > mask.min() else 0 * mask
        seen_through = [net.photo(BACKGROUND + each * (X - BACKGROUND)) for each in fade(mask)]
        scores.append(torch.cat(seen_through).mean() - net.photo(BACKGROUND)[0])
    weights = torch.exp(torch.stack(scores))
    return torch.einsum("k,khw->hw", weights / weights.sum(), net.maps)


def is_cam(net: Known) -> Tensor:
    return score_cam(net, lambda mask: [mask * i / 3 for i in (1, 2, 3)])


def shapley_cam(net: Known) -> Tensor:
    def score(flat: Tensor) -> Tensor:
        return net.score(flat.view(1, *net.maps.shape))[0]

    flat = net.maps.flatten()
    curvature = torch.func.hessian(score)(flat)
    weights = (net.gradients.flatten() - curvature @ flat / 2).view_as(net.maps).mean((1, 2))
    return torch.einsum("k,khw->hw", weights, net.maps)


def recipro_cam(net: Known) -> Tensor:
    """Only a place is left, and with it half of those beside it and a quarter of those at its corners."""
    _, height, width = net.maps.shape
    gauss = torch.tensor([[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]], dtype=torch.float64)
    scores = torch.zeros(height, width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            mask = torch.zeros(height + 2, width + 2, dtype=torch.float64)
            mask[i : i + 3, j : j + 3] = gauss
            scores[i, j] = net.score((net.maps * mask[1:-1, 1:-1])[None])[0].detach()
    return scores


def ablation_cam(net: Known) -> Tensor:
    total = torch.zeros_like(net.maps[0])
    for k, a in enumerate(net.maps):
        without = net.maps.clone()
        without[k] = 0
        total += (net.score(net.maps[None]) - net.score(without[None])).detach()[0] * a
    return total


def fem(net: Known) -> Tensor:
    total = torch.zeros_like(net.maps[0])
    for a in net.maps:
        mean = a.mean()
        total += mean * (a > mean + 1.5 * ((a - mean) ** 2).mean().sqrt())
    return total


def component(rows: Tensor) -> Tensor:
    """The first principal component of rows (places, K), which grows with their mean."""
    centred = rows - rows.mean(0)
    strengths, vectors = torch.linalg.eigh(centred.T @ centred)
    projected = centred @ vectors[:, strengths.argmax()]
    return projected * torch.sign((projected * (rows.mean(1) - rows.mean())).sum())


def eigen_cam(net: Known) -> Tensor:
    return component(net.maps.flatten(1).T).view_as(net.maps[0])


def eigen_grad_cam(net: Known) -> Tensor:
    return component((net.gradients * net.maps).flatten(1).T).view_as(net.maps[0])


def kernel_component(kernel: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Known], Tensor]:
    """The first principal component of the places under a kernel, whose matrix is made number by number."""

    def value(net: Known) -> Tensor:
        rows = net.maps.flatten(1).T
        scaled = (rows - rows.mean(0)) / rows.std()
        n = len(rows)
        matrix = torch.stack([torch.stack([kernel(a, b) for b in scaled]) for a in scaled])
        centring = torch.eye(n, dtype=torch.float64) - 1 / n
        strengths, vectors = torch.linalg.eigh(centring @ matrix @ centring)
        projected = vectors[:, -1] * strengths[-1].sqrt()
        projected = projected * torch.sign((projected * (rows.mean(1) - rows.mean())).sum())
        return projected.view_as(net.maps[0])

    return value


kpca_sigmoid = kernel_component(lambda a, b: torch.tanh((a @ b) / len(a) + 1))
kpca_rbf = kernel_component(lambda a, b: torch.exp(-0.3 * ((a - b) ** 2).sum()))

FORMULAS: dict[str, tuple[Any, Callable[[Known], Tensor]]] = {
    "grad_cam": ("grad_cam", grad_cam),
    "grad_cam_plus_plus": ("grad_cam_plus_plus", grad_cam_plus_plus),
    "smooth_grad_cam_plus_plus": (SmoothGradCamPlusPlus(samples=2, noise=0), grad_cam_plus_plus),
    "element_wise_grad_cam": ("element_wise_grad_cam", element_wise),
    "layer_cam": ("layer_cam", layer_cam),
    "hires_cam": ("hires_cam", hires_cam),
    "x_grad_cam": ("x_grad_cam", x_grad_cam),
    "score_cam": ("score_cam", score_cam),
    "ss_cam": (SsCam(samples=2, noise=0), score_cam),
    "is_cam of one step": (IsCam(steps=1), score_cam),
    "is_cam": (IsCam(steps=3), is_cam),
    "shapley_cam": ("shapley_cam", shapley_cam),
    "recipro_cam": ("recipro_cam", recipro_cam),
    "ablation_cam": (AblationCam(), ablation_cam),
    "fem": (Fem(deviations=1.5), fem),
    "eigen_cam": ("eigen_cam", eigen_cam),
    "eigen_grad_cam": ("eigen_grad_cam", eigen_grad_cam),
    "kpca_cam": ("kpca_cam", kpca_sigmoid),
    "kpca_cam of distances": (KpcaCam("rbf", 0.3), kpca_rbf),
    "kpca_cam of products": (KpcaCam("linear"), lambda net: eigen_cam(net) / net.maps.std()),
}
"""Probe, and the formula of its map, by the probe's name."""


def explained(head: str, probe: Any, layer: str | None = LAST, x: Tensor = X) -> np.ndarray:
    result = explain(NETS[head], x, probe, CLASS, layer=layer, background=BACKGROUND)
    assert isinstance(result, Attribution)
    return result.values


def assert_same(values: np.ndarray, expected: Tensor) -> None:
    assert expected.any()
    tolerance = 1e-10 * float(expected.detach().abs().max())
    np.testing.assert_allclose(values, expected.detach().numpy(), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("head", "layer"), [("linear", LAST), ("curved", LAST), ("curved", SIGNED)])
@pytest.mark.parametrize("name", FORMULAS)
def test_a_map_is_its_formula(name: str, head: str, layer: str) -> None:
    probe, formula = FORMULAS[name]
    assert_same(explained(head, probe, layer), formula(known(head, layer)))


@pytest.mark.parametrize("head", HEADS)
def test_refine_cam_multiplies_the_maps_of_both_layers(head: str) -> None:
    product = torch.ones_like(X[0, 0])
    for layer in (EARLY, LAST):
        level = F.relu(grad_cam_plus_plus(known(head, layer)))
        product = product * F.interpolate((level / level.max())[None, None], X.shape[2:], mode="bilinear")[0, 0]
    assert_same(explained(head, RefineCam(levels=2)), product)


def test_smooth_grad_cam_plus_plus_averages_powers_of_gradients_over_noisy_photos() -> None:
    probe, head = SmoothGradCamPlusPlus(samples=3, noise=0.2), "curved"
    generator = torch.Generator().manual_seed(0)
    powers = torch.zeros(3, *known(head).maps.shape, dtype=torch.float64)
    for _ in range(3):
        noisy = X + 0.2 * (X.max() - X.min()) * torch.randn(X.shape, generator=generator, dtype=torch.float64)
        maps = NETS[head][:4](noisy).detach().requires_grad_()
        (g,) = torch.autograd.grad(NETS[head][4:](maps)[0, CLASS], maps)
        powers += torch.stack([g[0], g[0] ** 2, g[0] ** 3]) / 3
    maps = known(head).maps
    alpha = powers[1] / (2 * powers[1] + maps.sum((1, 2), keepdim=True) * powers[2])
    weights = torch.nan_to_num(alpha * F.relu(powers[0])).sum((1, 2))
    assert_same(explained(head, probe), torch.einsum("k,khw->hw", weights, maps))


def test_ss_cam_averages_scores_over_noisy_masks() -> None:
    generator = torch.Generator().manual_seed(0)

    def noisy(mask: Tensor) -> list[Tensor]:
        return [
            (mask + 0.3 * torch.randn(mask.shape, generator=generator, dtype=torch.float64)).clamp(0, 1)
            for _ in range(2)
        ]

    assert_same(explained("curved", SsCam(samples=2, noise=0.3)), score_cam(known("curved"), noisy))


class Detour(nn.Module):
    """A net that computes one number more before its maps if the photo is dark."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = x + 0 if bool(x[0, 0, 0, 0] < 1) else x
        return self.head(self.conv(y).sigmoid().mean((2, 3)) ** 2)


@pytest.mark.parametrize("layer", ["conv", None])
def test_smooth_grad_cam_plus_plus_finds_the_layer_on_the_tape_of_each_noisy_photo(layer: str | None) -> None:
    torch.manual_seed(0)
    net = Detour().double().eval()
    photo = X.clone()
    photo[0, 0, 0, 0] = 1.0
    probe = SmoothGradCamPlusPlus(samples=4, noise=0.1)
    values = [explain(net, x, probe, CLASS, layer=layer).values for x in (photo, photo - 1e-9 * (photo == 1))]
    np.testing.assert_allclose(*values, rtol=0, atol=1e-6 * np.abs(values[0]).max())

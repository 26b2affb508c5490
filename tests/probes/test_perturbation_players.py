"""Shapley values and LIME against brute force and closed forms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from convatlas.images.samples import sample
from convatlas.probes.perturbation import _players
from convatlas.probes.perturbation._players import players_of
from convatlas.probes.perturbation.lime import Lime
from convatlas.probes.perturbation.shapley import Shapley
from tests.probes.additive import Additive, OfCells, made, photo


def tangled(means: Tensor) -> Tensor:
    """A score in which all four cells work together."""
    a, b, c, d = means.unbind(1)
    return (3 * a * b).tanh() + b * c - (c + d).relu() + a * b * c * d - 2 * (a + b + d).sigmoid()


def of_cells(found: np.ndarray) -> np.ndarray:
    """The values of the four quarters."""
    return found[:: len(found) // 2, :: found.shape[1] // 2].flatten()


def by_all_orders(function: Callable[[Tensor], Tensor], cells: Tensor) -> Tensor:
    """Shapley values by their first definition: the mean over all orders."""
    values = torch.zeros(4).double()
    for order in itertools.permutations(range(4)):
        seen = torch.zeros(1, 4).double()
        for player in order:
            before = function(seen)
            seen[0, player] = cells[player]
            values[player] += (function(seen) - before)[0]
    return values / math.factorial(4)


CELLS = torch.tensor([0.9, -1.3, 0.4, 1.1]).double()
X = CELLS.reshape(1, 1, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)


@pytest.mark.parametrize("method", ["exact", "kernel", "auto"])
def test_enumerated_values_are_those_of_all_orders(method: str) -> None:
    found = made(OfCells(tangled), X, Shapley(players=4, regions="grid", method=method, budget=16))
    np.testing.assert_allclose(of_cells(found.map), by_all_orders(tangled, CELLS), atol=1e-12)
    assert found.residual is not None
    assert found.residual < 1e-12
    assert found.forwards <= 18
    assert found.standard_error is None


def test_axioms() -> None:
    probe = Shapley(players=4, regions="grid", method="exact", budget=16)

    def values(function: Callable[[Tensor], Tensor], x: Tensor = X) -> np.ndarray:
        return of_cells(made(OfCells(function), x, probe).map)

    def symmetric(m: Tensor) -> Tensor:
        return (m[:, 0] * m[:, 1]).exp() + m[:, 2] ** 2

    same = X.clone()
    same[..., :4, 4:] = same[..., :4, :4]
    a, b, c, d = values(symmetric, same)
    assert a == pytest.approx(b, abs=1e-14)
    assert c == pytest.approx(CELLS[2].item() ** 2, abs=1e-14)
    assert d == pytest.approx(0, abs=1e-14)
    total = values(lambda m: 2 * tangled(m) - 3 * symmetric(m))
    np.testing.assert_allclose(total, 2 * values(tangled) - 3 * values(symmetric), atol=1e-12)


@pytest.mark.parametrize("method", ["permutation", "kernel"])
def test_sampled_values_are_right_within_their_error_and_sum_up(method: str) -> None:
    torch.manual_seed(5)
    weights = torch.randn(6, 6).double()

    class Quadratic(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            cells = x[:, 0, 0]
            return torch.einsum("ni,ij,nj->n", cells, weights, cells)[:, None] + cells.sum(1, keepdim=True).tanh()

    x = torch.randn(1, 1, 1, 6).double()
    exact = made(Quadratic(), x, Shapley(players=6, regions="grid", method="exact")).map
    found = made(Quadratic(), x, Shapley(players=6, regions="grid", method=method, budget=60))
    assert found.standard_error is not None
    assert found.residual is not None
    assert found.residual < 1e-12
    if method == "kernel":
        # All 62 coalitions do not fit, so that they are drawn.
        assert found.forwards == 61
    error = np.abs(found.map - exact)
    assert (error < 6 * found.standard_error + 1e-9).all()
    assert error.max() < 0.35 * np.abs(exact).max()


def test_pairs_of_orders_are_exact_where_no_three_regions_work_together() -> None:
    """An order and its reverse show each pair of regions both ways round."""
    x = photo(1)

    def pairwise(m: Tensor) -> Tensor:
        return m[:, 0] * m[:, 1] - 2 * m[:, 2] * m[:, 3] + m[:, 1]

    exact = made(OfCells(pairwise), x, Shapley(players=4, regions="grid", method="exact")).map
    found = made(OfCells(pairwise), x, Shapley(players=4, regions="grid", method="permutation", budget=12))
    np.testing.assert_allclose(found.map, exact, atol=1e-12)
    assert found.standard_error is not None
    assert found.standard_error.max() < 1e-12


@pytest.mark.parametrize("method", ["permutation", "kernel"])
def test_additive_nets_are_exact_by_any_sample(method: str) -> None:
    net, x, b = Additive((3, 8, 8)), photo(), photo(seed=2)
    found = made(net, x, Shapley(players=16, regions="grid", method=method, budget=100), b)
    blocks = net.shares(x, b).unflatten(0, (4, 2)).unflatten(2, (4, 2)).sum((1, 3))
    np.testing.assert_allclose(found.map[::2, ::2], blocks, atol=1e-10)


def test_one_region_has_all() -> None:
    net, x = Additive((3, 8, 8)), photo()
    for method in ("auto", "exact", "kernel"):
        found = made(net, x, Shapley(players=1, regions="grid", method=method))
        np.testing.assert_allclose(found.map, net.shares(x, 0 * x).sum().item(), atol=1e-12)


def test_captum_finds_the_same() -> None:
    """The values of captum 0.9.0, `ShapleyValues(net).attribute(X, target=0, feature_mask=quarters)`, in float32."""
    captum = [-1.0196825, -0.35226703, -0.78869987, -1.7087402]
    found = made(OfCells(tangled), X, Shapley(players=4, regions="grid", method="exact"))
    np.testing.assert_allclose(of_cells(found.map), captum, rtol=3e-7)


def test_lime_without_penalty_gives_the_shares_of_an_additive_net() -> None:
    net, x, b = Additive((3, 8, 8)), photo(), photo(seed=2)
    found = made(net, x, Lime(players=16, regions="grid", samples=100, ridge=0), b)
    blocks = net.shares(x, b).unflatten(0, (4, 2)).unflatten(2, (4, 2)).sum((1, 3))
    np.testing.assert_allclose(found.map[::2, ::2], blocks, atol=1e-10)
    assert found.notes == ("the linear model explains 100% of how the score varies",)
    assert found.standard_error is not None
    assert found.standard_error.max() < 1e-10


def test_lime_s_weights_minimise_its_loss() -> None:
    probe = Lime(players=4, regions="grid", samples=40, ridge=0.7, width=0.4)
    found = of_cells(made(OfCells(tangled), X, probe).map)
    kept = (torch.rand(40, 4, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    kept[0] = 1
    weights = (-(((1 - kept.mean(1).sqrt()) / 0.4) ** 2)).exp()
    scores = tangled(kept * CELLS)
    parameters = torch.cat([torch.from_numpy(found), torch.zeros(1)]).requires_grad_()
    with torch.no_grad():
        parameters[4] = (weights * (scores - kept @ parameters[:4])).sum() / weights.sum()
    residual = scores - kept @ parameters[:4] - parameters[4]
    loss = (weights * residual**2).sum() + 0.7 * parameters[:4].square().sum()
    (gradient,) = torch.autograd.grad(loss, parameters)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


def test_superpixels_follow_the_photo_and_not_its_precision() -> None:
    x = torch.zeros(1, 3, 32, 32)
    x[:, 0, 10:22, 4:20] = 1
    players = players_of(x, 12, "superpixels")
    assert sorted(set(players.labels.flatten().tolist())) == list(range(players.count))
    inside = set(players.labels[12:20, 6:18].flatten().tolist())
    outside = set(players.labels[:8].flatten().tolist()) | set(players.labels[24:].flatten().tolist())
    assert inside.isdisjoint(outside)
    assert torch.equal(players.labels, players_of(x.double(), 12, "superpixels").labels)


def test_there_are_about_as_many_superpixels_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.asarray(Image.open(sample("coffee")).resize((224, 224)))
    x = torch.from_numpy(pixels / 255).permute(2, 0, 1)[None]
    count = players_of(x, 40, "superpixels").count
    assert count == pytest.approx(40, rel=0.15)
    monkeypatch.setattr(_players, "TRIES", 1)
    assert abs(players_of(x, 40, "superpixels").count - 40) > abs(count - 40)


@pytest.mark.parametrize(("height", "width", "number"), [(8, 8, 16), (5, 9, 7), (3, 3, 9), (4, 1, 3)])
def test_a_grid_divides_evenly(height: int, width: int, number: int) -> None:
    players = players_of(torch.zeros(1, 3, height, width), number, "grid")
    sizes = torch.bincount(players.labels.flatten())
    assert len(sizes) == players.count
    assert sizes.min() > 0
    assert players.count <= number * 1.5


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 1, 28, 28), (1, 5, 9, 7)])
def test_a_constant_photo_has_regions(shape: tuple[int, ...]) -> None:
    assert players_of(torch.ones(shape), 4, "superpixels").count >= 1

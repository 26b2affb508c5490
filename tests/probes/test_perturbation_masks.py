"""RISE, Sobol, HSIC and learned masks against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convatlas.probes.explain import explain
from convatlas.probes.perturbation._masks import between_cells
from convatlas.probes.perturbation.extremal_perturbation import ExtremalPerturbation, _Form
from convatlas.probes.perturbation.hsic import Hsic, _criterion
from convatlas.probes.perturbation.meaningful_perturbation import MeaningfulPerturbation
from convatlas.probes.perturbation.rise import Rise
from convatlas.probes.perturbation.sobol import Sobol
from convatlas.probes.perturbation.wavelet_attribution import WaveletAttribution, bands_of
from tests.probes.additive import Additive, OfCells, made, photo


def test_rise_estimates_each_pixel_s_share() -> None:
    """With a cell for every pixel, the covariance is the share, and the mean is (1 − p) of it on top of a constant."""
    net, x, b, p = Additive((2, 4, 4)), photo(2, 4, 4), photo(2, 4, 4, seed=2), 0.4
    probe = Rise(masks=20000, cells=4, share=p, tolerance=0)
    covariances, means = (
        explain(net, x, replace(probe, estimator=name), [0, 1, 2], background=b, device="cpu")
        for name in ("covariance", "mean")
    )
    shares = [net.shares(x, b, target).numpy() for target in range(3)]
    constants = [net(b)[0, target].item() + p * shares[target].sum() for target in range(3)]
    expected = [constant + (1 - p) * share for constant, share in zip(constants, shares, strict=True)]
    for maps, truths in ((covariances, shares), (means, expected)):
        z = np.stack([(each.map - truth) / each.standard_error for each, truth in zip(maps, truths, strict=True)])
        assert np.abs(z).max() < 4
        assert 0.75 < np.sqrt((z**2).mean()) < 1.25
    # Both estimate the same shares, the covariance with a smaller error.
    for covariance, mean in zip(covariances, means, strict=True):
        assert covariance.forwards == 20000
        assert covariance.standard_error.mean() < 0.9 * (mean.standard_error / (1 - p)).mean()


def test_rise_stops_when_it_is_known_well_enough_and_not_by_the_batch() -> None:
    net, x = Additive((3, 8, 8)), photo()
    found = made(net, x, Rise(masks=20000, cells=2, tolerance=0.1))
    assert found.forwards < 20000
    assert found.forwards % 256 == 0
    assert np.sqrt((found.standard_error**2).mean()) <= 0.1 * found.map.std()
    assert found.notes[0] == f"{found.forwards} masks"


def test_rise_s_error_halves_with_four_times_the_masks() -> None:
    net, x = Additive((3, 8, 8)), photo()
    few, more = (made(net, x, Rise(masks=n, cells=4, tolerance=0)).standard_error.mean() for n in (500, 2000))
    assert few / more == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("order", ["total", "first"])
def test_sobol_indices_of_an_additive_net_are_squared_shares(order: str) -> None:
    net, x, b = Additive((3, 8, 8)), photo(), photo(seed=2)
    bumps = between_cells(torch.eye(4).double().reshape(4, 2, 2), (8, 8))
    blocks = (net.shares(x, b) * bumps).sum((1, 2)).square().reshape(2, 2).numpy()
    found = made(net, x, Sobol(cells=2, design=1024, order=order), b)
    np.testing.assert_allclose(found.map, blocks / blocks.sum(), atol=0.01)
    assert found.forwards == 1024 * (5 + (order == "first"))


def test_sobol_indices_of_a_product() -> None:
    """m₁ m₂ of uniform numbers has variance 7/144, of which m₁ alone makes 1/48: indices of 3/7 and 4/7."""
    net = OfCells(lambda m: m[:, 0] * m[:, 3])
    x = torch.ones(1, 1, 2, 2).double()
    for order, index in (("total", 4 / 7), ("first", 3 / 7)):
        found = made(net, x, Sobol(cells=2, design=2048, order=order))
        np.testing.assert_allclose(found.map, [[index, 0], [0, index]], atol=0.01)


def test_hsic_is_its_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = (torch.rand(30, 5, generator=generator) < 0.5).double()
    scores = torch.randn(30, generator=generator).double()
    n = len(scores)
    distances = (scores[:, None] - scores).abs()
    kernel = (-((distances / distances[distances > 0].median()) ** 2) / 2).exp()
    centring = torch.eye(n).double() - 1 / n
    for cell in range(5):
        agree = (seen[:, None, cell] == seen[:, cell]).double()
        expected = (agree @ centring @ kernel @ centring).trace() / (n - 1) ** 2
        assert _criterion(seen, scores)[cell].item() == pytest.approx(expected.item(), abs=1e-14)


def test_hsic_finds_the_cells_that_matter_however_they_do() -> None:
    # The second cell has no linear effect.
    net = OfCells(lambda m: 2 * m[:, 0] + (m[:, 1] - 0.5).abs() * m[:, 0])
    x = torch.ones(1, 1, 2, 2).double()
    found = made(net, x, Hsic(cells=2, masks=800)).map
    assert found[0, 0] > 100 * found[0, 1]
    assert found[0, 0] > 100 * np.abs(found[1]).max()
    constant = made(OfCells(lambda m: 0 * m[:, 0] + 1), x, Hsic(cells=2, masks=50))
    np.testing.assert_allclose(constant.map, 0, atol=1e-16)


def favourable() -> tuple[Additive, Tensor, Tensor]:
    """A net whose pixels all speak for the score, a photo and a background."""
    net, b = Additive((3, 8, 8)), photo(seed=2)
    return net, b + photo().abs() * net.weight[0].sign().detach(), b


def test_meaningful_perturbation_deletes_what_is_worth_more_than_its_area() -> None:
    net, x, b = favourable()
    shares = net.shares(x, b) * 64 / (net(x) - net(b))[0, 0].detach()
    for sparsity in (1.1, 2):
        probe = MeaningfulPerturbation(cells=8, smoothness=0, jitter=0, steps=40, sparsity=sparsity)
        assert (shares - sparsity).abs().min() > 1e-3
        np.testing.assert_array_equal(made(net, x, probe, b).map, (shares > sparsity).numpy())


def test_nothing_is_taken_away_where_the_background_scores_higher() -> None:
    net, x, b = favourable()
    found = made(net, b, MeaningfulPerturbation(cells=8, steps=10), x)
    assert not found.map.any()
    assert found.notes == (
        "the background has no lower score than the photo: nothing has to be deleted",
        "the map is blank: every value is 0",
    )


def test_a_sparsity_that_no_part_is_worth_is_named() -> None:
    net, x, b = favourable()
    found = made(net, x, MeaningfulPerturbation(cells=8, steps=10, sparsity=1000.0), b)
    assert not found.map.any()
    assert found.notes[0] == "no part is worth its area to the score: a smaller sparsity deletes more"


def test_smoothness_smooths() -> None:
    net, x, b = favourable()
    rough, smooth = (
        made(net, x, MeaningfulPerturbation(cells=8, smoothness=weight, jitter=0, steps=40), b).map
        for weight in (0, 50)
    )
    assert np.abs(np.diff(smooth)).max() < 0.6 * np.abs(np.diff(rough)).max()


def test_extremal_perturbation_keeps_the_cells_that_are_worth_most() -> None:
    net, x, b = Additive((3, 8, 8)), photo(), photo(seed=2)
    # So narrow a bell is a cell.
    probe = ExtremalPerturbation(areas=(0.25,), cells=8, width=0.1, steps=80)
    found = made(net, x, probe, b)
    shares = net.shares(x, b).flatten()
    best = shares.topk(16).indices
    kept = torch.from_numpy(found.map).flatten()
    assert kept.sum() == pytest.approx(16, abs=1e-3)
    assert kept[best].mean() > 0.95
    score = net(b)[0, 0].item() + (kept * shares).sum().item()
    assert found.notes == (f"0.25 of the photo keeps a score of {score:.4g}",)


@pytest.mark.parametrize("softness", [1.0, 0.1])
def test_masks_have_their_areas_and_follow_their_heights(softness: float) -> None:
    areas = (0.05, 0.37, 0.99)
    form = _Form(areas, 1.0, 7, torch.zeros(1, dtype=torch.float64))
    free = torch.randn(3, 7, 7).double().requires_grad_()
    masks = form(free, softness)
    np.testing.assert_allclose(masks.mean((1, 2)).detach(), areas, atol=1e-9)
    assert torch.autograd.gradcheck(lambda free: form(free, softness), free, atol=1e-5)
    np.testing.assert_allclose(form(0 * free, softness)[:, 0, 0].detach(), areas, atol=1e-9)


def test_cells_lie_where_their_map_is_drawn() -> None:
    x = photo(1, 4, 6)
    found = made(OfCells(lambda m: m.sum(1)), x, MeaningfulPerturbation(cells=2, steps=2, jitter=0))
    expected = between_cells(torch.from_numpy(found.values)[None], (4, 6))[0]
    np.testing.assert_allclose(found.on_input(), expected, atol=1e-6)


def test_bands_of_haar_wavelets_sum_to_the_photo() -> None:
    for height, width in ((8, 8), (7, 10)):
        x = photo(height=height + height % 2, width=width)[:, :, :height]
        bands = bands_of(x, 2)
        torch.testing.assert_close(bands.sum(0, keepdim=True), x)
        # Details of 2 pixels have the mean 0 in each whole block of 2, and so on.
        for level, band in enumerate(bands[:2]):
            assert float(nn.functional.avg_pool2d(band, 2 ** (level + 1)).abs().max()) < 1e-12


def test_wavelet_attribution_of_an_additive_net_is_squared_shares() -> None:
    net, x, b = Additive((3, 8, 8)), photo(), photo(seed=2)
    bands = bands_of(x - b, 1)
    blocks = torch.stack([(net.weight[0] * band).sum(0) for band in bands]).unflatten(1, (2, 4)).unflatten(3, (2, 4))
    squares = blocks.sum((2, 4)).square().detach().numpy()
    result = made(net, x, WaveletAttribution(levels=1, cells=2, design=1024), b)
    np.testing.assert_allclose(result.values, squares / squares.sum(), atol=0.01)
    assert result.forwards == 1024 * 9
    share = squares[0].sum() / squares.sum()
    assert result.notes == (f"details of 2 pixels {share:.0%}, what is coarser {1 - share:.0%}",)

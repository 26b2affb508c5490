"""Fukushima's cells: against their formulas, one cell at a time in numpy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from convatlas.genes import fukushima
from convatlas.genes.fukushima import CCells, CognitronCells, Excitation, LateralInhibition, SCells, VCells, falloff


def photo(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ready(module):
    module = module.double()
    module.reset_parameters()
    return module


def close(one: Tensor, other: np.ndarray) -> None:
    other = torch.as_tensor(other)
    assert one.shape == other.shape
    assert (one.detach() - other).abs().max() / other.std() <= 1e-9


def positive(excitation: float, inhibition: float) -> float:
    return max(0.0, (1 + excitation) / (1 + inhibition) - 1)


def test_fixed_connections_fall_off_with_the_distance():
    window = falloff((5, 5), 0.7).double()
    for row, column in itertools.product(range(5), repeat=2):
        assert float(window[row, column]) == pytest.approx(0.7 ** math.hypot(row - 2, column - 2), rel=1e-6)
    assert torch.equal(falloff((2, 2)), torch.full((2, 2), 0.9**0.5**0.5))


def test_s_cells():
    x, r = photo(2, 3, 6, 7), 1.5
    excite, inhibit, cell = ready(Excitation(3, 4, 5)), ready(VCells(3, 5)), ready(SCells(4, r))
    with torch.no_grad():
        excite.weight.mul_(100)
        cell.weight.copy_(photo(4, seed=1))
    a, b, c = excite.weight.detach().numpy(), cell.weight.detach().numpy(), inhibit.fixed[0].numpy()
    assert c.sum() == pytest.approx(1)
    expected = np.zeros((2, 4, 2, 3))
    for n, k, row, column in itertools.product(range(2), range(4), range(2), range(3)):
        seen = x[n, :, row : row + 5, column : column + 5].numpy()
        v = math.sqrt((c * seen**2).sum() + 1e-12)
        expected[n, k, row, column] = r * positive((a[k] * seen).sum(), r / (1 + r) * b[k] * v)
    assert expected.max() > 0.1
    close(cell(excite(x), inhibit(x)), expected)


def test_an_s_cell_fires_where_the_cosine_is_large_enough():
    """Having learned x* very well, it gives r positive(cosine (1 + r) / r - 1): 1 for x*, 0 below r / (1 + r)."""
    for r in (4.0, 1.5):
        inhibit, cell, excite = ready(VCells(2, 5)), ready(SCells(1, r)), ready(Excitation(2, 1, 5))
        learned, others = photo(1, 2, 5, 5), photo(40, 2, 5, 5, seed=1)
        others = torch.cat([learned, others * torch.linspace(0.1, 1, 40, dtype=torch.float64)[:, None, None, None]])
        others[20:] *= (others[20:] > 0.5).double()
        with torch.no_grad():
            excite.weight.copy_(1e9 * inhibit.fixed * learned)
            cell.weight.copy_(1e9 * inhibit(learned).flatten())
        cosine = (inhibit.fixed * learned * others).sum((1, 2, 3)) / (inhibit(learned) * inhibit(others)).flatten()
        expected = r * ((1 + r) / r * cosine - 1).clamp_min(0)
        found = cell(excite(others), inhibit(others)).flatten().detach()
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        assert float(found[0]) == pytest.approx(1, abs=1e-6)
        assert (found == 0).any()


def test_c_cells():
    u = photo(2, 3, 5, 4) * (photo(2, 3, 5, 4, seed=1) > 0.5)
    cell = ready(CCells((3, 2)))
    d = cell.fixed[0, 0].numpy()
    expected = np.zeros((2, 3, 3, 3))
    for n, row, column in itertools.product(range(2), range(3), range(3)):
        seen = u[n, :, row : row + 3, column : column + 2].numpy()
        excitation = [(d * seen[k]).sum() for k in range(3)]
        for k in range(3):
            x = positive(excitation[k], sum(excitation) / 3)
            expected[n, k, row, column] = x / (0.5 + x)
    close(cell(u), expected)
    assert (cell(u) < 1).all()


def test_local_cells():
    x = photo(2, 2, 6, 5)
    cell = ready(CognitronCells(2, (6, 5), (3, 5), 3))
    with torch.no_grad():
        cell.weight.mul_(100)
        cell.inhibition.copy_(photo(15, seed=1))
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    a, b, c = cell.weight.detach().numpy(), cell.inhibition.detach().numpy(), cell.fixed.numpy()
    assert c.sum() == pytest.approx(1)
    expected = np.zeros((2, 1, 3, 5))
    for n, row, column in itertools.product(range(2), range(3), range(5)):
        # Three rows of cells over six of pixels: each in the middle of two.
        top = 2 * row + 1
        seen = padded[n, :, top : top + 3, column : column + 3].flatten()
        number = 5 * row + column
        expected[n, 0, row, column] = positive((a[number] * seen).sum(), b[number] * (c * seen).sum())
    assert expected.max() > 0.1
    close(cell(x), expected)


def test_lateral_inhibition():
    u = photo(2, 1, 5, 4)
    layer = ready(LateralInhibition(3))
    g = layer.fixed[0, 0].numpy()
    assert g[1, 1] == 0
    assert g.sum() == pytest.approx(1)
    padded = np.pad(u.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = np.zeros((2, 1, 5, 4))
    for n, row, column in itertools.product(range(2), range(5), range(4)):
        around = (g * padded[n, 0, row : row + 3, column : column + 3]).sum()
        expected[n, 0, row, column] = positive(float(u[n, 0, row, column]), around)
    close(layer(u), expected)


def test_variable_connections_start_small_positive_and_inhibition_at_nothing():
    excite, cell, local = Excitation(3, 4, 5), SCells(4, 1.5), CognitronCells(1, (4, 4), (4, 4), 3)
    for module in (excite, cell, local):
        module.reset_parameters()
    assert not cell.weight.any()
    assert not local.inhibition.any()
    for weight, inputs in ((excite.weight, 75), (local.weight, 9)):
        assert (weight >= 0).all()
        assert 0.8 * fukushima.INITIAL_WEIGHT / inputs < weight.max() < fukushima.INITIAL_WEIGHT / inputs


def test_gradients_are_finite_where_nothing_is_seen():
    x = torch.zeros(1, 2, 6, 6, requires_grad=True)
    excite, inhibit, cell, after = Excitation(2, 3, 5), VCells(2, 5), SCells(3, 4.0), CCells((2, 2))
    for module in (excite, inhibit, cell, after):
        module.reset_parameters()
    after(cell(excite(x), inhibit(x))).sum().backward()
    assert torch.isfinite(x.grad).all()

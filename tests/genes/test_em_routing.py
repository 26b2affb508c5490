"""EM routing: against loops in numpy, and the three pitfalls of implementations (Gritzman 2019, arXiv 1907.00652)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from convatlas.genes.em_routing import VARIANCE_EPSILON, WEIGHT_EPSILON, EMRouting, VectorEM, Windows
from convatlas.genes.matrix_capsules import POSE, MatrixRouting, MatrixVotes

# Grids, kernels and strides; in the third no parent reads the children of the last row and column.
CASES = [((4, 4), (3, 3), 1), ((5, 3), (3, 3), 2), ((4, 6), (3, 3), 2), ((2, 3), (2, 3), 1)]
B, J, D = 2, 3, 4


def made(grid, kernel, stride=1, types=B, parents=J, steps=3) -> EMRouting:
    routing = EMRouting(Windows(grid, kernel, stride), types, parents, steps).double()
    routing.reset_parameters()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for beta in routing.parameters():
            beta.copy_(torch.randn(parents, generator=generator, dtype=torch.float64))
    return routing


def inputs(routing: EMRouting, batch=2, size=D, seed=0) -> tuple[Tensor, Tensor]:
    """Votes, and activations that are one number a child, wherever it is read."""
    generator = torch.Generator().manual_seed(seed)
    windows, types = routing.windows, routing.types
    count, places = int(np.prod(windows.positions)), int(np.prod(windows.kernel))
    parents = len(routing.beta_a)
    votes = torch.randn(batch, count, places, types, parents, size, generator=generator, dtype=torch.float64)
    by_child = torch.rand(batch, *windows.grid, types, generator=generator, dtype=torch.float64)
    activations = torch.empty(batch, count, places, types, dtype=torch.float64)
    for window, place in itertools.product(range(count), range(places)):
        activations[:, window, place] = by_child[:, *child_of(windows, window, place)]
    return votes, activations


def child_of(windows: Windows, window: int, place: int) -> tuple[int, int]:
    row, column = divmod(window, windows.positions[1])
    down, right = divmod(place, windows.kernel[1])
    return row * windows.stride + down, column * windows.stride + right


def reference(routing: EMRouting, votes: np.ndarray, activations: np.ndarray):
    """Procedure 1 of the paper for one photo, one child and one parent at a time; the couplings, poses, activations."""
    windows = routing.windows
    count, places, types, parents, size = votes.shape
    beta_a, beta_u = (beta.detach().numpy() for beta in (routing.beta_a, routing.beta_u))
    reads: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for window, place in itertools.product(range(count), range(places)):
        reads.setdefault(child_of(windows, window, place), []).append((window, place))
    couplings = np.zeros((count, places, types, parents))
    for readings in reads.values():
        for window, place in readings:
            couplings[window, place] = 1 / (parents * len(readings))
    average = windows.grid[0] * windows.grid[1] * types / (count * parents)
    for step in range(1, routing.steps + 1):
        means, variances = np.zeros((count, parents, size)), np.zeros((count, parents, size))
        answers = np.zeros((count, parents))
        for window, parent in itertools.product(range(count), range(parents)):
            weights, seen = [], []
            for place, kind in itertools.product(range(places), range(types)):
                weights.append(couplings[window, place, kind, parent] * activations[window, place, kind])
                seen.append(votes[window, place, kind, parent])
            amount = sum(weights)
            mean = sum(w * v for w, v in zip(weights, seen, strict=True)) / (amount + WEIGHT_EPSILON)
            square = sum(w * (v - mean) ** 2 for w, v in zip(weights, seen, strict=True))
            variance = square / (amount + WEIGHT_EPSILON) + VARIANCE_EPSILON
            cost = sum(beta_u[parent] + np.log(np.sqrt(variance))) * amount / average
            answers[window, parent] = 1 / (1 + np.exp(-(1 - 0.95**step) * (beta_a[parent] - cost)))
            means[window, parent], variances[window, parent] = mean, variance
        if step == routing.steps:
            return couplings, means, answers
        for readings in reads.values():
            for kind in range(types):
                scores = {}
                for (window, place), parent in itertools.product(readings, range(parents)):
                    away = votes[window, place, kind, parent] - means[window, parent]
                    variance = variances[window, parent]
                    density = np.exp(-sum(away**2 / (2 * variance))) / np.sqrt(np.prod(2 * np.pi * variance))
                    scores[window, place, parent] = answers[window, parent] * density
                for (window, place, parent), score in scores.items():
                    couplings[window, place, kind, parent] = score / sum(scores.values())
    raise AssertionError


@pytest.mark.parametrize(("grid", "kernel", "stride"), CASES)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_routing_is_the_paper_s_procedure(grid, kernel, stride, steps):
    routing = made(grid, kernel, stride, steps=steps)
    votes, activations = inputs(routing)
    found = routing.trace(votes, activations)
    poses, answers = routing(votes, activations)
    assert len(found) == routing.steps == steps
    assert torch.equal(found[-1].poses, poses)
    assert torch.equal(found[-1].activations, answers)
    for n in range(len(votes)):
        expected = reference(routing, votes[n].numpy(), activations[n].numpy())
        for one, other in zip((found[-1].couplings[n], poses[n], answers[n]), expected, strict=True):
            other = torch.as_tensor(other)
            assert (one - other).abs().max() <= 1e-9 * max(other.std(), 1e-3 * other.abs().max())


@pytest.mark.parametrize(("grid", "kernel", "stride"), CASES)
def test_parents_at_all_positions_compete_for_a_child(grid, kernel, stride):
    """A child's shares sum to 1 over the parents of all windows that read it, not of each window."""
    routing = made(grid, kernel, stride)
    windows = routing.windows
    for one in routing.trace(*inputs(routing)):
        total = torch.zeros(2, *grid, B, dtype=torch.float64)
        for window, place in itertools.product(range(one.couplings.shape[1]), range(one.couplings.shape[2])):
            total[:, *child_of(windows, window, place)] += one.couplings[:, window, place].sum(-1)
        read = total > 0
        torch.testing.assert_close(total[read], torch.ones_like(total[read]), atol=1e-12, rtol=0)
        last = tuple((n - 1) * stride + k - 1 for n, k in zip(windows.positions, kernel, strict=True))
        assert int(read[0, ..., 0].sum()) == (last[0] + 1) * (last[1] + 1)
    if one.couplings.shape[1] > 1:
        assert one.couplings.sum(-1).min() < 0.5


def test_a_parent_with_one_child_stays_finite():
    """Its variance is 0, the logarithm of it infinite, its density too."""
    routing = made((1, 1), (1, 1), types=1, parents=2)
    votes, activations = inputs(routing)
    votes.requires_grad_()
    found = routing.trace(votes, activations)
    assert (found[-1].variances - VARIANCE_EPSILON).abs().max() < 1e-12
    total = sum(one.activations.sum() + one.poses.sum() for one in found)
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(votes.grad).all()
    assert (found[-1].activations < 1).all()


@pytest.mark.parametrize("times", [2, 10])
def test_as_many_times_the_children_are_the_same_evidence(times):
    """A parent of the last layer has 100 times the data of one before: that alone must not switch it on or off."""
    routing = made((2, 2), (2, 2))
    votes, activations = inputs(routing)
    wide = made((2, 2), (2, 2), types=times * B)
    more = wide(votes.repeat(1, 1, 1, times, 1, 1), activations.repeat(1, 1, 1, times))
    for one, other in zip(more, routing(votes, activations), strict=True):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=0)


def test_float32_does_where_densities_are_beyond_its_range():
    routing = made((4, 4), (3, 3), parents=3)
    votes, activations = inputs(routing, size=16)
    votes = votes * torch.tensor([1e-3, 1.0, 300.0], dtype=torch.float64)[:, None]
    exact = routing.trace(votes, activations)[-1]
    assert (-exact.variances.log().sum(-1) / 2).max() > 30
    votes = votes.float().requires_grad_()
    found = routing.float().trace(votes, activations.float())[-1]
    assert torch.isfinite(found.couplings).all()
    torch.testing.assert_close(found.activations.double(), exact.activations, atol=1e-4, rtol=0)
    (found.activations.sum() + found.poses.sum()).backward()
    assert torch.isfinite(votes.grad).all()


def test_children_that_are_not_there_do_not_vote():
    routing = made((4, 4), (3, 3))
    votes, activations = inputs(routing)
    activations[..., 1] = 0
    other = votes.clone()
    other[..., 1, :, :] += 3
    for one, same in zip(routing(other, activations), routing(votes, activations), strict=True):
        torch.testing.assert_close(one, same, atol=1e-12, rtol=0)
    nobody = routing(votes, torch.zeros_like(activations))
    assert all(torch.isfinite(one).all() for one in nobody)


def test_photos_do_not_see_each_other_and_the_order_of_types_does_not_matter():
    routing = made((4, 4), (3, 3))
    votes, activations = inputs(routing)
    poses, answers = routing(votes, activations)
    for n in range(2):
        one = routing(votes[n : n + 1], activations[n : n + 1])
        torch.testing.assert_close(one[0][0], poses[n], atol=1e-12, rtol=0)
        torch.testing.assert_close(one[1][0], answers[n], atol=1e-12, rtol=0)
    moved = routing(votes.flip(3), activations.flip(3))
    torch.testing.assert_close(moved[0], poses, atol=1e-10, rtol=0)
    torch.testing.assert_close(moved[1], answers, atol=1e-10, rtol=0)


def test_the_gradient_runs_through_all_rounds():
    routing = made((2, 2), (2, 2), types=1, parents=2, steps=2)
    votes, activations = inputs(routing, batch=1, size=2)
    assert torch.autograd.gradcheck(routing, (votes.requires_grad_(), activations.requires_grad_()))
    for name, beta in routing.named_parameters():
        assert torch.autograd.grad(routing(votes, activations)[1].sum(), beta)[0].abs().min() > 0, name


def test_agreement_activates():
    """Two parents, the same votes but for their spread: the one whose votes lie together is the more active."""
    routing = EMRouting(Windows((3, 3), (3, 3)), 1, 2, 3).double()
    routing.reset_parameters()
    torch.nn.init.zeros_(routing.beta_u)
    votes, activations = inputs(routing)
    votes[..., 1, :] = 0.05 * votes[..., 0, :]
    _, answers = routing(votes, activations)
    assert (answers[..., 1] > answers[..., 0] + 0.2).all()


def test_vectors_have_the_direction_of_the_mean_and_the_length_of_the_activation():
    routing = VectorEM(6, 3, 3).double()
    routing.reset_parameters()
    votes = torch.randn(2, 6, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    lengths = torch.rand(2, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    capsules = routing(votes, lengths)
    last = routing.trace(votes, lengths)[-1]
    assert capsules.shape == (2, 3, 5)
    torch.testing.assert_close(capsules.norm(dim=-1), last.activations[:, 0], atol=1e-12, rtol=0)
    cosine = torch.nn.functional.cosine_similarity(capsules, last.poses[:, 0], dim=-1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine), atol=1e-12, rtol=0)


@pytest.mark.parametrize("centres", [None, ([0.2, 0.7], [0.1, 0.5, 0.9])])
def test_matrix_votes_and_routing_read_the_same_children(centres):
    grid, kernel, stride = ((2, 3), (2, 3), 1) if centres else ((5, 4), (3, 3), 1)
    windows = Windows(grid, kernel, stride)
    layer, routing = MatrixVotes(B, J, windows, centres).double(), MatrixRouting(windows, B, J, 2).double()
    layer.reset_parameters()
    routing.reset_parameters()
    x = torch.rand(2, B, POSE + 1, *grid, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    votes = layer(x).detach()
    assert votes.shape == (2, int(np.prod(windows.positions)), int(np.prod(kernel)), B, J, POSE)
    weight, placed = layer.weight.detach().numpy(), torch.empty(votes.shape[:4], dtype=torch.float64)
    for window, place, kind, parent in itertools.product(*map(range, votes.shape[1:5])):
        row, column = child_of(windows, window, place)
        matrix = weight[0 if centres else place, kind, parent]
        for n in range(2):
            expected = x[n, kind, :POSE, row, column].view(4, 4).numpy() @ matrix
            if centres:
                expected[0, 3] += centres[0][row]
                expected[1, 3] += centres[1][column]
            assert np.abs(votes[n, window, place, kind, parent].view(4, 4).numpy() - expected).max() < 1e-12
            placed[n, window, place, kind] = x[n, kind, POSE, row, column]
    found = routing(votes, x)
    poses, activations = EMRouting.forward(routing, votes, placed)
    assert found.shape == (2, J, POSE + 1, *windows.positions)
    for window in range(votes.shape[1]):
        row, column = divmod(window, windows.positions[1])
        torch.testing.assert_close(found[:, :, :POSE, row, column], poses[:, window], atol=1e-12, rtol=0)
        torch.testing.assert_close(found[:, :, POSE, row, column], activations[:, window], atol=1e-12, rtol=0)

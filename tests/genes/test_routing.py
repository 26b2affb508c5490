"""Capsules and dynamic routing: against loops in numpy, identities that must hold, and the mistakes others made."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convatlas.anatomy.measure.macs import cost
from convatlas.anatomy.measure.products import macs
from convatlas.anatomy.measure.tracing.trace import trace
from convatlas.genes.capsules import Length, Mask, Squash, Votes, squash
from convatlas.genes.routing import DynamicRouting

PHOTOS, CHILDREN, PARENTS, SIZE = 3, 7, 4, 5


def votes(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*(shape or (PHOTOS, CHILDREN, PARENTS, SIZE)), generator=generator, dtype=torch.float64)


def close(one: Tensor, other: object) -> None:
    other = torch.as_tensor(other)
    assert one.dtype == other.dtype == torch.float64
    assert (one - other).abs().max() / other.std() <= 1e-9


def reference(u: np.ndarray, rounds: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Procedure 1 of the paper, one child and one parent at a time; couplings of each round, and the parents."""
    children, parents, size = u.shape
    b = np.zeros((children, parents))
    couplings = []
    for _ in range(rounds):
        c = np.zeros_like(b)
        for i in range(children):
            total = sum(np.exp(b[i, j]) for j in range(parents))
            for j in range(parents):
                c[i, j] = np.exp(b[i, j]) / total
        v = np.zeros((parents, size))
        for j in range(parents):
            s = sum(c[i, j] * u[i, j] for i in range(children))
            norm = np.sqrt(sum(s * s))
            v[j] = norm**2 / (1 + norm**2) * s / norm
        for i in range(children):
            for j in range(parents):
                b[i, j] += u[i, j] @ v[j]
        couplings.append(c)
    return couplings, v


@pytest.mark.parametrize("rounds", [1, 2, 3, 5])
def test_routing_is_the_paper_s_procedure(rounds):
    u, routing = votes(), DynamicRouting(CHILDREN, rounds)
    found = routing.trace(u)
    assert len(found) == routing.steps == rounds
    for n in range(PHOTOS):
        couplings, v = reference(u[n].numpy(), rounds)
        close(routing(u)[n], v)
        for one, other in zip(found, couplings, strict=True):
            # In the first round all couplings are the same: the bound is that of their size.
            assert (one.couplings[n] - torch.as_tensor(other)).abs().max() <= 1e-12


def test_the_last_round_is_the_answer_and_agreements_add_up():
    u, found = votes(), DynamicRouting(CHILDREN, 3).trace(votes())
    assert torch.equal(found[-1].poses, DynamicRouting(CHILDREN, 3)(u))
    assert not found[0].agreements.any()
    for before, after in itertools.pairwise(found):
        close(after.agreements - before.agreements, torch.einsum("nijd,njd->nij", u, before.poses))


def test_couplings_are_shares_of_a_child_not_of_a_parent():
    """The softmax is over parents; over children, as in several public codes, the first sum would not be 1."""
    for one in DynamicRouting(CHILDREN, 3).trace(votes()):
        torch.testing.assert_close(
            one.couplings.sum(2), torch.ones(PHOTOS, CHILDREN, dtype=torch.float64), atol=1e-14, rtol=0
        )
        assert (one.couplings.sum(1) - 1).abs().min() > 1e-3


def test_one_round_is_no_routing():
    (only,) = DynamicRouting(CHILDREN, 1).trace(votes())
    assert torch.equal(only.couplings, torch.full((PHOTOS, CHILDREN, PARENTS), 1 / PARENTS, dtype=torch.float64))


def test_photos_do_not_see_each_other():
    """Agreements kept for the batch, or as a weight, would make an answer depend on its neighbours."""
    u, routing = votes(), DynamicRouting(CHILDREN, 3)
    assert not routing.state_dict()
    together = routing(u)
    close(routing(u[[2, 0, 1]])[[1, 2, 0]], together)
    for n in range(PHOTOS):
        assert routing(u[n : n + 1]).shape == (1, PARENTS, SIZE)
        close(routing(u[n : n + 1])[0], together[n])
    close(routing(torch.cat([u, votes(5, CHILDREN, PARENTS, SIZE, seed=1)]))[:PHOTOS], together)


def test_lengths_are_what_squash_makes_of_the_sum():
    u = votes()
    last = DynamicRouting(CHILDREN, 3).trace(u)[-1]
    s = torch.einsum("nij,nijd->njd", last.couplings, u)
    close(last.poses.norm(dim=-1), s.norm(dim=-1) ** 2 / (1 + s.norm(dim=-1) ** 2))


def test_agreement_is_an_exact_share_of_the_length():
    """sum_i c_ij <u_ij, s_j / |s_j|> = |s_j|."""
    u = votes()
    couplings = DynamicRouting(CHILDREN, 3).trace(u)[-1].couplings
    s = torch.einsum("nij,nijd->njd", couplings, u)
    shares = couplings * torch.einsum("nijd,njd->nij", u, s / s.norm(dim=-1, keepdim=True))
    close(shares.sum(1), s.norm(dim=-1))


def test_the_order_of_children_does_not_matter():
    u, order = votes(), [3, 0, 6, 1, 5, 2, 4]
    plain, moved = DynamicRouting(CHILDREN, 3).trace(u)[-1], DynamicRouting(CHILDREN, 3).trace(u[:, order])[-1]
    close(moved.poses, plain.poses)
    close(moved.couplings, plain.couplings[:, order])


def test_routing_is_odd():
    u, routing = votes(), DynamicRouting(CHILDREN, 3)
    assert torch.equal(routing(-u), -routing(u))
    assert torch.equal(Length()(routing(-u)), Length()(routing(u)))


def test_the_gradient_runs_through_all_rounds():
    u = votes(2, 3, 2, 3).requires_grad_()
    routing = DynamicRouting(3, 3)
    assert torch.autograd.gradcheck(routing, (u,))
    (unrolled,) = torch.autograd.grad(routing(u).norm(dim=-1).sum(), u)
    couplings = routing.trace(u)[-1].couplings.detach()
    stopped = squash(torch.einsum("nij,nijd->njd", couplings, u))
    assert torch.equal(stopped, routing(u))
    (cut,) = torch.autograd.grad(stopped.norm(dim=-1).sum(), u)
    assert (unrolled - cut).abs().max() > 0.01 * unrolled.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-12, 1e-3, 1.0, 1e6])
def test_squash(size, dtype):
    s = (size * torch.tensor([[2.0, -1.0, 2.0]], dtype=dtype) / 3).requires_grad_()
    v = squash(s)
    v.sum().backward()
    assert torch.isfinite(v).all()
    assert torch.isfinite(s.grad).all()
    length = Length()(v)
    # What is shorter than 1e-19 has a square that float32 cannot hold.
    atol = 1e-18 if dtype == torch.float32 else 0
    torch.testing.assert_close(length, torch.full_like(length, size**2 / (1 + size**2)), atol=atol, rtol=1e-5)
    if size == 0:
        assert not v.any()
        assert not s.grad.any()


def test_a_capsule_without_length_has_a_gradient():
    capsules = torch.zeros(1, 2, 3, requires_grad=True)
    Length()(capsules).sum().backward()
    assert torch.isfinite(capsules.grad).all()
    votes = torch.zeros(1, CHILDREN, PARENTS, SIZE, requires_grad=True)
    Length()(DynamicRouting(CHILDREN, 3)(votes)).sum().backward()
    assert torch.isfinite(votes.grad).all()


def test_maps_become_capsules_type_by_type():
    x = votes(2, 6, 3, 4)
    found = Squash(3)(x)
    assert found.shape == (2, 2 * 3 * 4, 3)
    for kind in range(2):
        for row in range(3):
            for column in range(4):
                expected = squash(x[:, 3 * kind : 3 * kind + 3, row, column])
                close(found[:, (kind * 3 + row) * 4 + column], expected)


def test_votes_have_a_matrix_for_every_pair():
    layer = Votes(CHILDREN, PARENTS, 3, SIZE).double()
    layer.reset_parameters()
    u = votes(2, CHILDREN, 3)
    expected = np.zeros((2, CHILDREN, PARENTS, SIZE))
    weight = layer.weight.detach().numpy()
    for n in range(2):
        for i in range(CHILDREN):
            for j in range(PARENTS):
                expected[n, i, j] = weight[i, j] @ u[n, i].numpy()
    close(layer(u).detach(), expected)
    assert layer.weight.numel() == CHILDREN * PARENTS * 3 * SIZE


def test_the_mask_leaves_one_class():
    capsules = votes(3, PARENTS, SIZE)
    found = Mask()(capsules, torch.tensor([2, 0, 3]))
    assert found.shape == (3, PARENTS * SIZE)
    for n, chosen in enumerate((2, 0, 3)):
        one = found[n].view(PARENTS, SIZE)
        assert torch.equal(one[chosen], capsules[n, chosen])
        assert one.count_nonzero() == SIZE


@pytest.mark.parametrize("rounds", [1, 3])
def test_work_is_what_its_calls_cost(rounds):
    """The leaf's own rule, and the calls that it stands for: a sum of all votes each round, agreements between."""

    class Alone(nn.Module):
        def __init__(self):
            super().__init__()
            self.routing = DynamicRouting(CHILDREN, rounds)

        def forward(self, x):
            return self.routing(x)

    (operation,) = trace(Alone(), torch.zeros(1, CHILDREN, PARENTS, SIZE))
    votes = CHILDREN * PARENTS * SIZE
    assert cost(operation) == ((2 * rounds - 1) * votes, 0, 0)
    assert sum(map(macs, operation.calls)) == (2 * rounds - 1) * votes

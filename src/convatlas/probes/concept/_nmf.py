"""Non-negative matrix factorisation."""

from __future__ import annotations

import torch
from torch import Tensor


def factorised(matrix: Tensor, rank: int, seed: int = 0, rounds: int = 200) -> tuple[Tensor, Tensor]:
    """Factors U (n, r) and W (r, K), neither with a negative number, with U W near a matrix (n, K) without any.

    Columns are solved for in turns (HALS, Cichocki & Phan 2009), from random numbers; each row of W has the norm 1.
    """
    a = matrix.double()
    generator = torch.Generator().manual_seed(seed)
    scale = (a.mean().clamp(min=1e-30) / rank).sqrt()
    u, w = (
        (torch.rand(shape, generator=generator, dtype=torch.float64).to(a.device) + 0.01) * scale
        for shape in ((len(a), rank), (rank, a.shape[1]))
    )
    for _ in range(rounds):
        u = _solved(u, a @ w.T, w @ w.T)
        w = _solved(w.T, a.T @ u, u.T @ u).T
    norms = w.norm(dim=1).clamp(min=1e-30)
    return (u * norms).to(matrix.dtype), (w / norms[:, None]).to(matrix.dtype)


def coefficients(matrix: Tensor, w: Tensor, rounds: int = 200) -> Tensor:
    """The factor U (n, r) without a negative number with U W nearest to a matrix (n, K)."""
    a, basis = matrix.double(), w.double()
    u = (a @ basis.T).clamp(min=0) / basis.square().sum(1).clamp(min=1e-30)
    for _ in range(rounds):
        u = _solved(u, a @ basis.T, basis @ basis.T)
    return u.to(matrix.dtype)


def _solved(u: Tensor, product: Tensor, gram: Tensor) -> Tensor:
    """One round over the columns of a factor: each is the best one while the others stay."""
    u = u.clone()
    for k in range(u.shape[1]):
        step = (product[:, k] - u @ gram[:, k]) / gram[k, k].clamp(min=1e-30)
        # A column of zeros would never come back.
        u[:, k] = (u[:, k] + step).clamp(min=1e-16)
    return u

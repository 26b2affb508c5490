"""Sobol indices: shares of the variance of a score, by an estimator on the design of Saltelli."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from convatlas.probes.subject import Subject

ORDERS = ("total", "first")
"""Indices: with all that a player does together with others, or only what it does alone."""

Progress = Generator[tuple[int, int, None], None, tuple[Tensor, Tensor]]
"""Yields forwards done and forwards in all; returns indices and standard errors, (players, T)."""


def sensitivity(
    subject: Subject, players: int, design: int, order: str, inputs: Callable[[Tensor], Tensor]
) -> Progress:
    """Score masks of a design in which the players are exchanged one by one.

    Args:
        subject: The subject.
        players: Number of numbers in a mask.
        design: Number of base masks; each is scored once more for every player, with that player's number exchanged.
        order: "total" or "first".
        inputs: Function of masks (n, players), of numbers from 0 to 1, that returns inputs (n, C, h, w).
    """
    sequence = SobolEngine(2 * players, scramble=True, seed=subject.seed)  # type: ignore[no-untyped-call]
    points = sequence.draw(design, dtype=torch.float64)
    base, other = points[:, :players], points[:, players:]
    # Groups of masks: the base, the base with one number exchanged, and for the first order the other masks.
    groups = 1 + players + (order == "first")
    scores = torch.zeros(groups * design, len(subject.targets), dtype=torch.float64)

    def masked(start: int, stop: int) -> Tensor:
        numbers = torch.arange(start, stop)
        group, row = numbers.div(design, rounding_mode="floor"), numbers % design
        exchanged = group[:, None] - 1 == torch.arange(players)
        exchanged[group == players + 1] = True
        return inputs(torch.where(exchanged, other[row], base[row]))

    for start, stop, batch in subject.stream(len(scores), masked):
        scores[start:stop] = batch
        yield stop, len(scores), None
    variance = scores.var(0, correction=0).clamp(min=torch.finfo(torch.float64).tiny)
    by_group = scores.reshape(groups, design, -1)
    against = by_group[0] if order == "total" else by_group[players + 1]
    halves = (against - by_group[1 : players + 1]).square() / (2 * variance)
    indices = halves.mean(1) if order == "total" else 1 - halves.mean(1)
    if not bool(scores.var(0).any()):
        indices = torch.zeros_like(indices)
    return indices, halves.std(1) / math.sqrt(design)

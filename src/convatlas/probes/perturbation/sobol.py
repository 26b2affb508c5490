"""Sobol indices: the share of the score's variance that each cell of a random mask answers for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from convatlas.probes.checks import check_choice, check_whole
from convatlas.probes.perturbation._masks import between_cells, blend
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

ORDERS = ("total", "first")
"""Indices: with all that a cell does together with others, or only what it does alone."""

MOST_CELLS = 100
"""Most cells along a side, for which the sequence of quasi-random numbers is known."""


@dataclass(frozen=True)
class Sobol(Probe):
    """The share of the variance of the score, under random masks, that a cell of the mask answers for.

    For a net that adds up its pixels, both indices are a cell's squared share over the sum of all squares.

    Attributes:
        cells: Cells of the mask along each side; between their centres the mask goes linearly.
        design: Number of base masks; each is scored once more for every cell, with that cell's value exchanged.
        order: "total", the cell and all that it does together with others; or "first", the cell alone.
    """

    cells: int = 8
    design: int = 32
    order: str = "total"

    title = "Sobol indices"
    source = (
        'Fel et al. 2021, "Look at the variance! Efficient black-box explanations with Sobol-based sensitivity '
        'analysis"; estimators: Jansen 1999, "Analysis of variance designs for model output"'
    )
    formula = "S_i = E[(f(A) − f(A with B's cell i))²] / (2 Var f), masks A and B uniform in [0, 1] on each cell"
    shows = "Which cells the score depends on, alone or together with others."
    hides = "Whether a cell speaks for or against the score: the map has no sign."
    cost = "design · (cells² + 1) forwards, 2080 by default"
    needs = "scores"

    def attribute(self, subject: Subject) -> Findings:
        """Score the design of Saltelli, in which cells are exchanged one by one."""
        check_whole("cells", self.cells, 1, min(*subject.size, MOST_CELLS))
        check_whole("design", self.design, 2)
        check_choice("order", self.order, ORDERS)
        d, n = self.cells**2, self.design
        sequence = SobolEngine(2 * d, scramble=True, seed=subject.seed)  # type: ignore[no-untyped-call]
        points = sequence.draw(n, dtype=torch.float64)
        base, other = points[:, :d], points[:, d:]
        # Groups of n masks: the base, the base with one cell exchanged, and for the first order the other masks.
        groups = 1 + d + (self.order == "first")
        scores = torch.zeros(groups * n, len(subject.targets), dtype=torch.float64)

        def masked(start: int, stop: int) -> Tensor:
            group, row = torch.arange(start, stop).div(n, rounding_mode="floor"), torch.arange(start, stop) % n
            exchanged = group[:, None] - 1 == torch.arange(d)
            exchanged[group == d + 1] = True
            grids = torch.where(exchanged, other[row], base[row]).reshape(-1, self.cells, self.cells)
            return blend(subject, between_cells(grids.to(subject.x.dtype), subject.size))

        for start, stop, batch in subject.stream(len(scores), masked):
            scores[start:stop] = batch
            yield stop, len(scores), None
        variance = scores.var(0, correction=0).clamp(min=torch.finfo(torch.float64).tiny)
        by_group = scores.reshape(groups, n, -1)
        against = by_group[0] if self.order == "total" else by_group[d + 1]
        halves = (against - by_group[1 : d + 1]).square() / (2 * variance)
        indices = halves.mean(1) if self.order == "total" else 1 - halves.mean(1)
        if not bool(scores.var(0).any()):
            indices = torch.zeros_like(indices)
        errors = halves.std(1) / math.sqrt(n)
        shape = (self.cells, self.cells)
        yield (
            1,
            1,
            [
                Finding(indices[:, k].reshape(shape), standard_error=errors[:, k].reshape(shape))
                for k in range(len(subject.targets))
            ],
        )


PROBE = Sobol

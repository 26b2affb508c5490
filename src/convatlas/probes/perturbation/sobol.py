"""Sobol indices: the share of the score's variance that each cell of a random mask answers for."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from convatlas.probes.checks import check_choice, check_whole
from convatlas.probes.perturbation._masks import between_cells, blend
from convatlas.probes.perturbation._sensitivity import ORDERS, sensitivity
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

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

        def masked(masks: Tensor) -> Tensor:
            grids = masks.reshape(-1, self.cells, self.cells).to(subject.x.dtype)
            return blend(subject, between_cells(grids, subject.size))

        indices, errors = yield from sensitivity(subject, self.cells**2, self.design, self.order, masked)
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

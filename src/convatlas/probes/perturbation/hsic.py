"""HSIC: how far the score depends, in whatever way, on whether a cell is kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.checks import check_whole
from convatlas.probes.perturbation._masks import between_cells, blend
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

ROWS = 1024
"""Rows of the kernel matrix that are in memory at a time, and scores whose distances give the kernel its width."""


@dataclass(frozen=True)
class Hsic(Probe):
    """The Hilbert–Schmidt independence criterion between the score and each cell of random masks.

    It is 0 for a cell on which the score does not depend, up to an offset of the order of 1/masks.

    Attributes:
        cells: Cells of the mask along each side; between their centres the mask goes linearly.
        masks: How many masks are scored; each cell is kept with probability 1/2.
    """

    cells: int = 7
    masks: int = 1500

    title = "HSIC"
    source = (
        'Novello et al. 2022, "Making sense of dependence: efficient black-box explanations using dependence measure"; '
        'criterion: Gretton et al. 2005, "Measuring statistical dependence with Hilbert–Schmidt norms"'
    )
    formula = (
        "tr(K_i H L H) / (n − 1)², with K_i = 1 where two masks agree in cell i, L = exp(−(f − f′)² / 2σ²), σ the "
        "median of |f − f′|, H = 1 − 1/n"
    )
    shows = "Which cells the score depends on, linearly or not, with few masks."
    hides = "Whether a cell speaks for or against the score: the map has no sign. What cells do only together."
    cost = "one forward a mask, 1500 by default"
    needs = "scores"

    def attribute(self, subject: Subject) -> Findings:
        """Score the masks, then compare all pairs of them."""
        check_whole("cells", self.cells, 1, min(subject.size))
        check_whole("masks", self.masks, 2)
        grids = torch.rand(self.masks, self.cells, self.cells, generator=subject.generator()) < 0.5
        scores = torch.zeros(self.masks, len(subject.targets), dtype=torch.float64)

        def masked(start: int, stop: int) -> Tensor:
            return blend(subject, between_cells(grids[start:stop].to(subject.x.dtype), subject.size))

        for start, stop, batch in subject.stream(self.masks, masked):
            scores[start:stop] = batch
            yield stop, self.masks, None
        kept = grids.flatten(1).double()
        yield 1, 1, [Finding(_criterion(kept, each).reshape(grids.shape[1:])) for each in scores.mT]


def _criterion(kept: Tensor, scores: Tensor) -> Tensor:
    """The criterion between scores (n,) and each column of `kept` (n, cells), of zeros and ones."""
    few = scores[:ROWS]
    distances = (few[:, None] - few).abs()
    width = distances[distances > 0].median() if bool((distances > 0).any()) else distances.new_ones(())
    # H acts on the masks rather than on the kernel; agreement in a cell is m mᵀ + (1 − m)(1 − m)ᵀ.
    centred = kept - kept.mean(0)
    total = torch.zeros(kept.shape[1], dtype=torch.float64)
    for start in range(0, len(scores), ROWS):
        kernel = (-((scores[start : start + ROWS, None] - scores) / width).square() / 2).exp()
        total += 2 * (centred[start : start + ROWS] * (kernel @ centred)).sum(0)
    return total / (len(scores) - 1) ** 2


PROBE = Hsic

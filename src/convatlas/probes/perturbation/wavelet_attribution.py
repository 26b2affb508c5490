"""Wavelet attribution: the share of the score's variance that details of each size, at each place, answer for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from convatlas.probes.checks import check_whole
from convatlas.probes.perturbation._sensitivity import sensitivity
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class WaveletAttribution(Probe):
    """Sobol indices of the photo's Haar wavelets, taken together by size and place.

    The difference to the background is split into details of 2, 4, 8, ... pixels and the averages that remain, each of
    which is faded at each cell of a grid. The map is the sum over the sizes; `values` holds one map for each size, the
    finest first, and a note their shares.

    Attributes:
        levels: Number of sizes of details.
        cells: Cells of the grid along each side.
        design: Number of base masks; each is scored once more for every size and cell.
    """

    levels: int = 4
    cells: int = 5
    design: int = 8

    title = "Wavelet attribution (WCAM)"
    source = (
        "Kasmi et al. 2023, \"Assessment of the reliability of a model's decision by generalizing attribution to the "
        'wavelet domain"'
    )
    formula = "S_lc = E[(f(A) − f(A with B's l, c))²] / (2 Var f), masks A and B uniform for each size l and cell c"
    shows = "Whether the score depends on fine details or on coarse shapes, and where."
    hides = "Whether they speak for or against the score: the map has no sign."
    cost = "design · ((levels + 1) · cells² + 1) forwards, 1008 by default"
    needs = "scores"

    def attribute(self, subject: Subject) -> Findings:
        """Fade the bands cell by cell, on the design of Saltelli."""
        height, width = subject.size
        check_whole("levels", self.levels, 1, max(1, min(height, width).bit_length() - 1))
        check_whole("cells", self.cells, 1, min(height, width))
        check_whole("design", self.design, 2)
        bands = bands_of(subject.x - subject.background, self.levels)
        shape = (self.levels + 1, self.cells, self.cells)

        def masked(masks: Tensor) -> Tensor:
            faded = interpolate(masks.reshape(-1, *shape).to(subject.x), subject.size, mode="nearest")
            return subject.background + torch.einsum("nlhw,lchw->nchw", faded, bands)

        players = shape[0] * self.cells**2
        indices, errors = yield from sensitivity(subject, players, self.design, "total", masked)
        findings = []
        for k in range(len(subject.targets)):
            values = indices[:, k].reshape(shape)
            total = float(values.sum())
            shares = [float(each.sum()) / total if total > 0 else 0.0 for each in values]
            sizes = [*(f"details of {2 ** (level + 1)} pixels" for level in range(self.levels)), "what is coarser"]
            note = ", ".join(f"{size} {share:.0%}" for size, share in zip(sizes, shares, strict=True))
            findings.append(Finding(values, standard_error=errors[:, k].reshape(shape), notes=(note,)))
        yield 1, 1, findings


def bands_of(x: Tensor, levels: int) -> Tensor:
    """Parts (levels + 1, C, h, w) of numbers (1, C, h, w), by the size of their Haar wavelets; they sum to x."""
    coarser = [x]
    for level in range(1, levels + 1):
        side = 2**level
        # Blocks at the right and lower edge may be narrower: the mean is over what there is.
        means = avg_pool2d(x, side, ceil_mode=True, count_include_pad=False)
        spread = means.repeat_interleave(side, 2).repeat_interleave(side, 3)
        coarser.append(spread[:, :, : x.shape[2], : x.shape[3]])
    details = [fine - coarse for fine, coarse in pairwise(coarser)]
    return torch.cat([*details, coarser[-1]])


PROBE = WaveletAttribution

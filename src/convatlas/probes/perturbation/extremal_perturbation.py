"""Extremal perturbation: the parts of given areas that keep the score highest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.perturbation._descent import default_cells, scores_through
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

PIXELS = 8
"""Pixels of the input along a cell's side, by default."""

FIRST_SOFTNESS, LAST_SOFTNESS = 1.0, 0.1
"""Softness of the masks' edges at the first and the last step: cells first find their order, then their values."""

HALVINGS = 50
"""Halvings of the interval in which the threshold lies."""


@dataclass(frozen=True)
class ExtremalPerturbation(Probe):
    """Learned smooth masks, one for each area, that keep the score as high as possible; the map is their mean.

    A mask is a smooth function of the place, cut at the height that gives it its area. So it has the area at every
    step, where the paper adds a penalty for areas that differ.

    Attributes:
        areas: Shares of the photo that are kept.
        steps: Steps of the ascent.
        rate: Its rate of learning.
        cells: Cells of the masks along each side; by default one for every 8 pixels, but at least 7.
        width: Standard deviation of the Gaussian that makes the function smooth, in cells.
    """

    areas: Sequence[float] = (0.05, 0.1, 0.2, 0.4)
    steps: int = 60
    rate: float = 0.1
    cells: int | None = None
    width: float = 1.5

    title = "Extremal perturbation"
    source = 'Fong et al. 2019, "Understanding deep networks via extremal perturbations and smooth masks"'
    formula = "mean over areas a of argmax_m f(b + m (x − b)), m smooth with mean a"
    shows = "Which parts are enough for the score, the most important ones in most of the masks."
    hides = "What speaks against the score, and parts that would do as well."
    cost = "one forward and one backward a step and area, 240 by default"
    needs = "gradients"

    def attribute(self, subject: Subject) -> Findings:
        """Ascend for each target, with the masks of all areas in one batch."""
        areas = tuple(self.areas) if isinstance(self.areas, Sequence) else ()
        if not areas or not all(isinstance(area, (int, float)) and 0 < area < 1 for area in areas):
            raise ConvAtlasError(f"areas are numbers above 0 and below 1, at least one; got {self.areas!r:.40}")
        check_whole("steps", self.steps, 1)
        check_number("rate", self.rate, ends=(False, True))
        check_number("width", self.width, ends=(False, True))
        cells = self.cells if self.cells is not None else default_cells(subject.size, PIXELS)
        check_whole("cells", cells, 1, min(subject.size))
        form = _Form(areas, self.width, cells, subject.x)
        total = self.steps * len(subject.targets)
        findings = []
        for k in range(len(subject.targets)):
            free = torch.zeros(len(areas), cells, cells, dtype=subject.x.dtype, device=subject.x.device)
            ascent = torch.optim.Adam([free], lr=self.rate, maximize=True)
            for step in range(self.steps):
                softness = FIRST_SOFTNESS * (LAST_SOFTNESS / FIRST_SOFTNESS) ** (step / self.steps)
                with torch.enable_grad():
                    leaf = free.detach().clone().requires_grad_()
                    masks = form(leaf, softness)
                _, gradient = scores_through(subject, masks.detach(), k)
                free.grad = torch.autograd.grad(masks, leaf, gradient)[0]
                ascent.step()
                yield k * self.steps + step + 1, total, None
            masks = form(free, LAST_SOFTNESS)
            scores, _ = scores_through(subject, masks, k)
            notes = tuple(
                f"{area:.3g} of the photo keeps a score of {float(score):.4g}"
                for area, score in zip(areas, scores, strict=True)
            )
            findings.append(Finding(masks.mean(0), notes=notes))
        yield 1, 1, findings


class _Form:
    """Masks of given areas made of free functions of the place."""

    def __init__(self, areas: Sequence[float], width: float, cells: int, like: Tensor):
        self.areas = torch.tensor(areas, dtype=like.dtype, device=like.device)[:, None, None]
        self.reach = min(max(1, round(3 * width)), cells - 1)
        places = torch.arange(-self.reach, self.reach + 1, dtype=torch.float64)
        bell = (-(places / width).square() / 2).exp()
        self.bell = (bell / bell.sum()).to(like)

    def __call__(self, free: Tensor, softness: float) -> Tensor:
        """Masks (n, cells, cells) of functions (n, cells, cells), with soft edges."""
        height = free[:, None]
        for shape, edges in (((1, 1, -1, 1), (0, 0, 1, 1)), ((1, 1, 1, -1), (1, 1, 0, 0))):
            wide = pad(height, tuple(self.reach * edge for edge in edges), "replicate")
            height = conv2d(wide, self.bell.reshape(shape))
        height = height[:, 0] / softness
        threshold = self._threshold(height.detach())
        # The threshold moves with the heights so that the area stays; this is its derivative.
        slope = (height.detach() - threshold).sigmoid()
        slope = slope * (1 - slope)
        share = slope / slope.sum((1, 2), keepdim=True).clamp(min=torch.finfo(slope.dtype).tiny)
        moved = (share * (height - height.detach())).sum((1, 2), keepdim=True)
        return (height - threshold - moved).sigmoid()

    def _threshold(self, height: Tensor) -> Tensor:
        """Height at which to cut each mask, (n, 1, 1), found by halving."""
        low = height.amin((1, 2), keepdim=True) - 20
        high = height.amax((1, 2), keepdim=True) + 20
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            large = (height - middle).sigmoid().mean((1, 2), keepdim=True) > self.areas
            low, high = torch.where(large, middle, low), torch.where(large, high, middle)
        return (low + high) / 2


PROBE = ExtremalPerturbation

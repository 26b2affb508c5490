"""Meaningful perturbation: the smallest smooth part whose deletion takes the score away."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.perturbation._descent import Jitter, default_cells, scores_through
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

PIXELS = 16
"""Pixels of the input along a cell's side, by default; with finer masks the net is deceived rather than explained."""

NOTHING = ("the background has no lower score than the photo: nothing has to be deleted",)
"""What is said of a photo whose score the background has as well."""

DEAR = ("no part is worth its area to the score: a smaller sparsity deletes more",)
"""What is said where the penalty of every part is more than what its deletion takes away."""


@dataclass(frozen=True)
class MeaningfulPerturbation(Probe):
    """A learned mask of what to delete: as little as possible, that takes as much of the score as possible.

    The score counts as a share of f(x) − f(b), and nothing is won by going below f(b). With a `sparsity` of 1 and no
    smoothness, a net that adds up pixels which all speak for the score loses exactly the cells whose share of the score
    is larger than their share of the area.

    Attributes:
        steps: Steps of the descent.
        rate: Its rate of learning.
        cells: Cells of the mask along each side; by default one for every 16 pixels, but at least 7.
        sparsity: Weight of the deleted area, λ₁.
        smoothness: Weight of the differences between neighbouring cells, λ₂.
        power: Power of these differences, β.
        jitter: Pixels by which mask and photo are moved against each other at each step.
    """

    steps: int = 80
    rate: float = 0.1
    cells: int | None = None
    sparsity: float = 1.0
    smoothness: float = 10.0
    power: float = 2.0
    jitter: int = 4

    title = "Meaningful perturbation"
    source = 'Fong & Vedaldi 2017, "Interpretable explanations of black boxes by meaningful perturbation"'
    formula = (
        "argmin_m max(0, f(b + m (x − b)) − f(b)) / |f(x) − f(b)| + λ₁ mean(1 − m) + λ₂ mean |∇m|^β, 0 ≤ m ≤ 1; the "
        "map is 1 − m"
    )
    shows = "A small part without which the score is gone."
    hides = "What speaks against the score, and parts that could as well have been deleted instead."
    cost = "one forward and one backward a step, 80 by default"
    needs = "gradients"

    def attribute(self, subject: Subject) -> Findings:
        """Descend for each target."""
        check_whole("steps", self.steps, 1)
        check_number("rate", self.rate, ends=(False, True))
        check_number("sparsity", self.sparsity)
        check_number("smoothness", self.smoothness)
        check_number("power", self.power, 1)
        check_whole("jitter", self.jitter, 0, min(subject.size) // 2)
        cells = self.cells if self.cells is not None else default_cells(subject.size, PIXELS)
        check_whole("cells", cells, 1, min(subject.size))
        total = self.steps * len(subject.targets)
        masks = []
        for k in range(len(subject.targets)):
            move = Jitter(self.jitter, subject.generator())
            range_ = float((subject.own_scores[k] - subject.background_scores[k]).abs()) or 1.0
            mask = torch.ones(1, cells, cells, dtype=subject.x.dtype, device=subject.x.device)
            descent = torch.optim.Adam([mask], lr=self.rate)
            for step in range(self.steps):
                score, gradient = scores_through(subject, mask, k, move)
                # Below the background's score there is nothing left to take away.
                left = bool(score > subject.background_scores[k])
                mask.grad = gradient / range_ * left + self._penalty(mask)
                descent.step()
                mask.clamp_(0, 1)
                yield k * self.steps + step + 1, total, None
            masks.append(mask[0].detach())
        higher = (subject.own_scores > subject.background_scores).tolist()
        yield 1, 1, [Finding(1 - mask, notes=_notes(mask, bool(own))) for mask, own in zip(masks, higher, strict=True)]

    def _penalty(self, mask: Tensor) -> Tensor:
        """Gradient of the penalties by the cells of a mask, (1, cells, cells)."""
        with torch.enable_grad():
            leaf = mask.detach().clone().requires_grad_()
            rough = sum((leaf.diff(dim=dim).abs() ** self.power).sum() for dim in (1, 2)) / leaf.numel()
            return torch.autograd.grad(self.sparsity * (1 - leaf).mean() + self.smoothness * rough, leaf)[0]


def _notes(mask: Tensor, higher: bool) -> tuple[str, ...]:
    """Say what a reader has to know of a mask; `higher` tells whether the photo scores above the background."""
    if not higher:
        return NOTHING
    return DEAR if bool((mask == 1).all()) else ()


PROBE = MeaningfulPerturbation

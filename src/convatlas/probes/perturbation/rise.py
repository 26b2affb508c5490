"""RISE: how the score goes with what random masks let through."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.checks import check_choice, check_number, check_whole
from convatlas.probes.perturbation._masks import between_cells, blend
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

ESTIMATORS = ("covariance", "mean")
"""Ways to make a map of masks and scores."""

BLOCK = 256
"""Masks from one look at the standard error to the next; fixed, so that a map does not depend on the batch."""


@dataclass(frozen=True)
class Rise(Probe):
    """How the score goes with whether a pixel is let through by smooth random masks.

    The covariance is, for a net that adds up its pixels, each pixel's share of f(x) − f(b), smoothed as the masks are.
    The mean of the masks weighted by their scores, as in the paper, has the same expectation times 1 − p, on top of a
    constant that differs from photo to photo.

    Attributes:
        masks: Most masks to draw.
        cells: Cells of a mask along each side.
        share: Probability p with which a cell is let through.
        estimator: "covariance" of score and mask over p(1 − p), or the paper's "mean" of scores times masks over p.
        tolerance: Standard error, relative to how much the map varies, at which drawing stops; 0 draws all masks.
    """

    masks: int = 4000
    cells: int = 7
    share: float = 0.5
    estimator: str = "covariance"
    tolerance: float = 0.2

    title = "RISE"
    source = 'Petsiuk et al. 2018, "RISE: randomized input sampling for explanation of black-box models"'
    formula = "Cov(f(x ⊙ M + b ⊙ (1 − M)), M) / (p (1 − p)) over random masks M; as published: E[f · M] / p"
    shows = "Which parts raise the score when they are seen, with about half of the rest hidden."
    hides = "Details finer than a cell, and what several parts do only together."
    cost = "one forward a mask, at most 4000 by default; it stops at the tolerance"
    needs = "scores"

    def attribute(self, subject: Subject) -> Findings:
        """Draw masks until the map is known well enough."""
        check_whole("masks", self.masks, 2)
        check_whole("cells", self.cells, 1, min(subject.size))
        check_number("share", self.share, 0, 1, ends=(False, False))
        check_choice("estimator", self.estimator, ESTIMATORS)
        check_number("tolerance", self.tolerance)
        generator = subject.generator()
        side = self.cells + 1
        cells = torch.rand(self.masks, side, side, generator=generator) < self.share
        shifts = torch.rand(self.masks, 2, generator=generator)
        covariance = self.estimator == "covariance"
        sums = _Sums(
            subject.size,
            subject.own_scores if covariance else torch.zeros_like(subject.own_scores),
            self.share if covariance else 0.0,
        )
        drawn: list[Tensor] = []

        def masked(start: int, stop: int) -> Tensor:
            begin, end = done + start, done + stop
            drawn[:] = [self._masks(cells[begin:end].to(subject.x.dtype), shifts[begin:end], subject.size)]
            return blend(subject, drawn[0])

        done = 0
        while done < self.masks:
            block = min(BLOCK, self.masks - done)
            for _, stop, scores in subject.stream(block, masked):
                sums.add(drawn[0], scores)
                yield done + stop, self.masks, None
            done += block
            if self.tolerance and done < self.masks and self._is_known(sums):
                break
        values, errors = self._map(sums)
        notes = (f"{done} masks",)
        yield (
            1,
            1,
            [Finding(each, standard_error=error, notes=notes) for each, error in zip(values, errors, strict=True)],
        )

    def _masks(self, cells: Tensor, shifts: Tensor, size: tuple[int, int]) -> Tensor:
        """Masks (n, h, w) that are cells (n, side, side) made large, smooth, and shifted by up to a cell."""
        steps = [math.ceil(length / self.cells) for length in size]
        large = between_cells(cells, (steps[0] * cells.shape[1], steps[1] * cells.shape[2]))
        starts = (shifts * torch.tensor(steps)).long().tolist()
        return torch.stack([mask[y : y + size[0], x : x + size[1]] for mask, (y, x) in zip(large, starts, strict=True)])

    def _map(self, sums: _Sums) -> tuple[Tensor, Tensor]:
        scale = self.share * (1 - self.share) if self.estimator == "covariance" else self.share
        values, errors = sums.covariance() if self.estimator == "covariance" else sums.product()
        return values / scale, errors / scale

    def _is_known(self, sums: _Sums) -> bool:
        values, errors = self._map(sums)
        error = errors.square().mean((1, 2)).sqrt()
        return bool((error <= self.tolerance * values.std((1, 2))).all())


class _Sums:
    """Sums over masks of what the moments of masks and scores are made of, about given origins."""

    def __init__(self, size: tuple[int, int], scores: Tensor, mask: float):
        self.size, self.scores, self.mask = size, scores, mask
        self.count = 0
        self.targets = len(scores)
        rows = 1 + 2 * self.targets
        self.weights = torch.zeros(rows, dtype=torch.float64)
        self.first = torch.zeros(rows, size[0] * size[1], dtype=torch.float64)
        self.second = torch.zeros_like(self.first)

    def add(self, masks: Tensor, scores: Tensor) -> None:
        """Add masks (n, h, w) and their scores (n, T)."""
        scores = scores - self.scores
        weights = torch.cat([torch.ones(len(scores), 1, dtype=torch.float64), scores, scores.square()], 1).mT
        about = masks.cpu().flatten(1) - self.mask
        rows = weights.to(about.dtype)
        self.count += len(scores)
        self.weights += weights.sum(1)
        self.first += rows @ about
        self.second += rows @ about.square_()

    def _moments(self) -> tuple[list[Tensor], ...]:
        """Means of score^k · mask^j: for j = 0 (T, 1), for j = 1, 2 (T, pixels), with k = 0, 1, 2 in each list."""
        return tuple(
            [each[:1], each[1 : 1 + self.targets], each[1 + self.targets :]]
            for each in (self.weights[:, None] / self.count, self.first / self.count, self.second / self.count)
        )

    def product(self) -> tuple[Tensor, Tensor]:
        """The mean of scores times masks, (T, h, w), and its standard error."""
        _, first, second = self._moments()
        return self._shaped(first[1], second[2] - first[1].square())

    def covariance(self) -> tuple[Tensor, Tensor]:
        """The covariance of scores and masks, (T, h, w), and its standard error."""
        plain, first, second = self._moments()
        score, mask = plain[1], first[0]
        value = first[1] - score * mask
        square = (
            (second[2] - 2 * mask * first[2] + mask.square() * plain[2])
            - 2 * score * (second[1] - 2 * mask * first[1] + mask.square() * plain[1])
            + score.square() * (second[0] - mask.square())
        )
        return self._shaped(value, square - value.square())

    def _shaped(self, values: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        errors = (variance.clamp(min=0) / max(1, self.count - 1)).sqrt()
        return values.reshape(-1, *self.size), errors.reshape(-1, *self.size)


PROBE = Rise

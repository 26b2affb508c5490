"""Prediction difference: what the score loses when a window is not known but has to be guessed from around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.checks import check_whole
from convatlas.probes.perturbation._field import Field
from convatlas.probes.perturbation.occlusion import windows_of
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

Place = tuple[int, int]

LOG_2 = math.log(2)


@dataclass(frozen=True)
class PredictionDifference(Probe):
    """What the score loses when a window is filled with samples of what could be there, given its surroundings.

    The samples come from a Gaussian with the photo's own autocovariance, given the pixels in a ring around the window;
    the paper fits one to patches of many photos. A pixel gets the average over all windows that hide it.

    Attributes:
        window: Side of the window in pixels of the input; by default a seventh of the shorter side.
        stride: Pixels from one window to the next; by default half a window.
        ring: Width of the ring of known pixels around the window; by default an eighth of the window.
        samples: Fillings of each window.
        evidence: Whether scores are probabilities, compared by the base-2 logarithm of their odds (the paper's weight
            of evidence).
    """

    window: int | None = None
    stride: int | None = None
    ring: int | None = None
    samples: int = 8
    evidence: bool = False

    title = "Prediction difference"
    source = 'Zintgraf et al. 2017, "Visualizing deep neural network decisions: prediction difference analysis"'
    formula = "mean over windows W that hold the pixel of f(x) − E[f(x with W drawn given its surroundings)]"
    shows = "Which parts the score needs, beyond what their surroundings tell about them anyway."
    hides = "Parts that stand in for each other. Fillings have the photo's texture, but no objects."
    cost = "samples forwards a window, 1352 by default"
    needs = "scores"

    def attribute(self, subject: Subject) -> Findings:
        """Fill one window after the other."""
        side, windows = windows_of(subject.size, self.window, self.stride)
        check_whole("samples", self.samples, 2)
        ring = self.ring if self.ring is not None else max(1, side // 8)
        check_whole("ring", ring, 1)
        fill = _Filling(subject, side, ring)
        n = len(windows)
        scores = torch.zeros(n * self.samples, len(subject.targets), dtype=torch.float64)

        def filled(start: int, stop: int) -> Tensor:
            batch = subject.x.repeat(stop - start, 1, 1, 1)
            for row, index in zip(batch, range(start, stop), strict=True):
                top, left = windows[index // self.samples]
                row[:, top : top + side, left : left + side] = fill((top, left), index)
            return batch

        for start, stop, batch in subject.stream(len(scores), filled):
            scores[start:stop] = batch
            yield stop, len(scores), None
        loss, variance = self._losses(subject.own_scores, scores.reshape(n, self.samples, -1))
        total, squares = (torch.zeros(len(subject.targets), *subject.size, dtype=torch.float64) for _ in range(2))
        count = torch.zeros(subject.size, dtype=torch.float64)
        for (top, left), lost, spread in zip(windows, loss, variance, strict=True):
            here = (..., slice(top, top + side), slice(left, left + side))
            total[here] += lost[:, None, None]
            squares[here] += spread[:, None, None]
            count[here] += 1
        yield (
            1,
            1,
            [
                Finding(value / count, standard_error=square.sqrt() / count)
                for value, square in zip(total, squares, strict=True)
            ],
        )

    def _losses(self, own: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each window and its variance, (windows, T), from scores (windows, samples, T)."""
        mean, variance = scores.mean(1), scores.var(1) / self.samples
        if not self.evidence:
            return own - mean, variance
        if bool((scores < 0).any()) or bool((scores > 1).any()):
            raise ConvAtlasError(
                "the weight of evidence compares probabilities, and these scores are none: use target='probability:top'"
            )
        own, mean = (each.clamp(1e-6, 1 - 1e-6) for each in (own, mean))
        slope = 1 / (mean * (1 - mean) * LOG_2)
        return (own.logit() - mean.logit()) / LOG_2, variance * slope.square()


class _Filling:
    """Draws the inside of windows, given what is around them."""

    def __init__(self, subject: Subject, side: int, ring: int):
        self.subject, self.side, self.ring = subject, side, ring
        self.field = Field(subject.x[0])
        self.known: dict[tuple[Place, Place], tuple[Tensor, Tensor]] = {}
        steps = torch.arange(side)
        self.inside = torch.cartesian_prod(steps, steps)

    def __call__(self, place: Place, number: int) -> Tensor:
        """Draw the pixels (C, side, side) of the window at a place; the number of the drawing settles the outcome."""
        bounds, around = self._around(place)
        if bounds not in self.known:
            self.known[bounds] = self.field.given(self.inside, around)
        weights, root = self.known[bounds]
        rows, columns = (around + torch.tensor(place)).unbind(1)
        colours = self.field.colours[:, rows, columns]
        generator = torch.Generator().manual_seed(self.subject.seed * 1_000_003 + number)
        noise = torch.randn(*root.shape[:2], 1, generator=generator, dtype=torch.float64)
        drawn = weights @ colours[:, :, None] + root @ noise
        pixels: Tensor = self.field.values(drawn[:, :, 0]).reshape(-1, self.side, self.side).to(self.subject.x)
        return pixels

    def _around(self, place: Place) -> tuple[tuple[Place, Place], Tensor]:
        """The reach of the known pixels from a window's corner, and their places, (m, 2), within the photo."""
        rows, columns = (
            (max(-self.ring, -start), min(self.side + self.ring, length - start))
            for start, length in zip(place, self.subject.size, strict=True)
        )
        places = torch.cartesian_prod(torch.arange(*rows), torch.arange(*columns))
        outside = ((places < 0) | (places >= self.side)).any(1)
        return (rows, columns), places[outside]


PROBE = PredictionDifference

"""Prediction difference: what the score loses when a window is not known but has to be guessed from around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.base.terminal.arguments import argument
from convatlas.probes.checks import check_whole
from convatlas.probes.perturbation._field import Field
from convatlas.probes.perturbation.occlusion import windows_of
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

Place = tuple[int, int]

LEAST = 1e-6
"""Least distance from 0 and 1 of a probability whose odds are compared."""


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
    cost = "samples forwards a window; by default 1352 for an input of 224 x 224 pixels, 1800 for 32 x 32"
    needs = "scores"

    def attribute(self, subject: Subject) -> Findings:
        """Fill one window after the other."""
        side, windows = windows_of(subject.size, self.window, self.stride)
        check_whole("samples", self.samples, 2)
        ring = self.ring if self.ring is not None else max(1, side // 8)
        check_whole("ring", ring, 1)
        filling = _Filling(subject, side, ring, self.samples)
        n, samples = len(windows), self.samples
        scores = torch.zeros(n * samples, len(subject.targets), dtype=torch.float64)

        def filled(start: int, stop: int) -> Tensor:
            batch = subject.x.repeat(stop - start, 1, 1, 1)
            for window in range(start // samples, -(-stop // samples)):
                top, left = windows[window]
                first, last = max(start, window * samples), min(stop, (window + 1) * samples)
                drawn = filling.draw((top, left), first - window * samples, last - window * samples)
                batch[first - start : last - start, :, top : top + side, left : left + side] = drawn
            return batch

        for start, stop, batch in subject.stream(len(scores), filled):
            scores[start:stop] = batch
            yield stop, len(scores), None
        losses = self._losses(subject.own_scores, scores.reshape(n, samples, -1))
        # One map for each sample: samples of overlapping windows come from the same field.
        total = torch.zeros(samples, len(subject.targets), *subject.size, dtype=torch.float64)
        count = torch.zeros(subject.size, dtype=torch.float64)
        for (top, left), lost in zip(windows, losses, strict=True):
            total[..., top : top + side, left : left + side] += lost[:, :, None, None]
            count[top : top + side, left : left + side] += 1
        total /= count
        means, errors = total.mean(0), total.std(0) / math.sqrt(samples)
        yield 1, 1, [Finding(mean, standard_error=error) for mean, error in zip(means, errors, strict=True)]

    def _losses(self, own: Tensor, scores: Tensor) -> Tensor:
        """Losses (windows, samples, T) by scores of that shape; their mean over samples is the loss of a window."""
        if not self.evidence:
            return own - scores
        if bool((scores < 0).any()) or bool((scores > 1).any()):
            raise ConvAtlasError(
                "the weight of evidence compares probabilities, and these scores are none: use "
                + argument("target", "'probability:top'")
            )
        mean = scores.mean(1, keepdim=True)
        away = scores - mean
        own, mean = (each.clamp(LEAST, 1 - LEAST) for each in (own, mean))
        return (own.logit() - mean.logit() - away / (mean * (1 - mean))) / math.log(2)


class _Filling:
    """Draws the inside of windows, given what is around them."""

    def __init__(self, subject: Subject, side: int, ring: int, samples: int):
        self.x, self.side, self.ring = subject.x, side, ring
        self.field = Field(subject.x[0])
        self.drawn = self.field.draw(samples, subject.generator())
        self.known: dict[tuple[Place, Place], Tensor] = {}
        steps = torch.arange(side)
        self.inside = torch.cartesian_prod(steps, steps)

    def draw(self, place: Place, first: int, last: int) -> Tensor:
        """Samples of the window at a place, from the first to before the last, (n, C, side, side)."""
        bounds, around = self._around(place)
        if bounds not in self.known:
            self.known[bounds] = self.field.weights(self.inside, around)
        rows, columns = (around + torch.tensor(place)).unbind(1)
        free = self.drawn[first:last]
        # A free drawing becomes one given the surroundings when it is moved by what they differ (Matheron's rule).
        differ = self.field.colours[:, rows, columns] - free[:, :, rows, columns]
        top, left = place
        inside = free[:, :, top : top + self.side, left : left + self.side].flatten(2)
        colours = inside + torch.einsum("cnm,scm->scn", self.known[bounds], differ)
        return self.field.pixels(colours).reshape(len(free), -1, self.side, self.side).to(self.x)

    def _around(self, place: Place) -> tuple[tuple[Place, Place], Tensor]:
        """Reach of the known pixels from a window's corner, and their places, (m, 2), within the photo."""
        rows, columns = (
            (max(-self.ring, -start), min(self.side + self.ring, length - start))
            for start, length in zip(place, self.x.shape[2:], strict=True)
        )
        places = torch.cartesian_prod(torch.arange(*rows), torch.arange(*columns))
        outside = ((places < 0) | (places >= self.side)).any(1)
        return (rows, columns), places[outside]


PROBE = PredictionDifference

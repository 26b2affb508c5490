"""Integrated gradients: the gradient along a path from the background to the photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.base.errors import unknown
from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.gradient._paths import blurred, guided, most_blurred, straight
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

PATHS = {"straight": straight, "blur": blurred, "guided": guided}

FIRST = 16
"""Steps of the first integral; each further one has twice as many."""


@dataclass(frozen=True)
class IntegratedGradients(Probe):
    """The gradient, integrated along a path to the photo, which sums to the difference of the scores.

    Attributes:
        path: "straight": from the background, on a line; "blur": from a blurred photo, by deblurring (Xu et al. 2020);
            "guided": from the background, by the pixels with the smallest gradient first (Kapishnikov et al. 2021).
        tolerance: Largest distance from completeness, relative to max(|f(x)|, |f(b)|), until which steps are added.
        steps: Largest number of steps.
    """

    path: str = "straight"
    tolerance: float = 0.01
    steps: int = 512

    title = "Integrated gradients"
    source = 'Sundararajan et al. 2017, "Axiomatic attribution for deep networks"'
    formula = "∫ ∂f/∂γ · γ'(t) dt along a path γ from the background to the photo; the sum is f(x) − f(b)"
    shows = "How much of the difference to the background each pixel contributed along the path."
    hides = "Other paths and other backgrounds give other maps; pixels equal to the background are 0."
    cost = "1 forward and 1 backward a step, until complete within the tolerance: 16 to 512"
    needs = "gradients"
    tape = False

    def attribute(self, subject: Subject) -> Findings:
        """Integrate, with twice as many steps until the sum is right."""
        if self.path not in PATHS:
            raise unknown("path of integrated gradients", self.path, PATHS)
        check_number("tolerance", self.tolerance, 0, 1, ends=(False, True))
        check_whole("steps", self.steps, 4, 100_000)
        # Progress counts the steps of all integrals that may be needed.
        rounds = [min(FIRST, self.steps)]
        while rounds[-1] < self.steps:
            rounds.append(min(2 * rounds[-1], self.steps))
        most, count = sum(rounds), len(subject.targets)
        findings = []
        for k in range(count):
            before = k * most
            for steps in rounds:
                for done, total in self._steps(subject, k, steps):
                    values = total
                    yield before + done, count * most, None
                before += steps
                start = self._start(subject, k)
                score = float(subject.own_scores[k])
                missing = abs(float(values.double().sum()) - (score - start))
                residual = missing / max(abs(score), abs(start), 1e-300)
                if residual <= self.tolerance:
                    break
            late = f"{residual:.1%} of the score is missing after {steps} steps"
            notes = () if residual <= self.tolerance else (late,)
            findings.append(Finding(values, residual=residual, notes=notes))
        yield 1, 1, findings

    def _steps(self, subject: Subject, target: int, steps: int) -> Iterator[tuple[int, Tensor]]:
        """Yield the steps done, and the integral up to there, (C, h, w)."""
        total = torch.zeros_like(subject.x[0])
        for done, part in PATHS[self.path](subject, target, steps):
            total = total + part
            yield done, total

    def _start(self, subject: Subject, target: int) -> float:
        """Return the score at the start of the path."""
        if self.path == "blur":
            return float(subject.scores(most_blurred(subject.x))[0, target])
        return float(subject.background_scores[target])


PROBE = IntegratedGradients

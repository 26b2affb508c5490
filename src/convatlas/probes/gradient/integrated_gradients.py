"""Integrated gradients: the gradient along a path from the background to the photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.probes.gradient._paths import blurred, guided, straight
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

PATHS: dict[str, Callable[..., object]] = {"straight": straight, "blur": blurred, "guided": guided}


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

    def attribute(self, subject: Subject) -> Findings:
        """Integrate, with twice as many steps until the sum is right."""
        if self.path not in PATHS:
            raise unknown("path of integrated gradients", self.path, PATHS)
        if not 0 < self.tolerance <= 1 or not 4 <= self.steps <= 100_000:
            raise ConvAtlasError(
                f"the tolerance is 0 to 1, and there are 4 to 100000 steps; got {self.tolerance}, {self.steps}"
            )
        findings = []
        for k in range(len(subject.targets)):
            steps = min(16, self.steps)
            while True:
                values, start = yield from self._integral(subject, k, steps)
                score = float(subject.own_scores[k])
                missing = abs(float(values.double().sum()) - (score - start))
                residual = missing / max(abs(score), abs(start), 1e-300)
                if residual <= self.tolerance or steps >= self.steps:
                    break
                steps = min(2 * steps, self.steps)
            late = f"{residual:.1%} of the score is missing after {steps} steps"
            notes = () if residual <= self.tolerance else (late,)
            findings.append(Finding(values, residual=residual, notes=notes))
        yield 1, 1, findings

    def _integral(self, subject: Subject, target: int, steps: int):  # type: ignore[no-untyped-def]
        """Yield progress; return the integral, (C, h, w), and the score at the start of the path."""
        walk = {"straight": straight, "blur": blurred, "guided": guided}[self.path]
        total = torch.zeros_like(subject.x[0])
        for done, part in walk(subject, target, steps):
            total = total + part
            yield done, steps, None
        if self.path == "blur":
            from convatlas.probes.gradient._paths import most_blurred

            return total, float(subject.scores(most_blurred(subject.x))[0, target])
        return total, float(subject.background_scores[target])


PROBE = IntegratedGradients

"""Gradient × input."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class GradientXInput(Probe):
    """The gradient times what the photo differs from the background in: a first-order guess of each pixel's share.

    With an input of zeros as background it is x · ∂f/∂x, which sums to the score of a net of ReLUs without biases.
    """

    title = "Gradient × input"
    source = (
        'Shrikumar et al. 2016, "Not just a black box: learning important features through propagating activation '
        'differences"'
    )
    formula = "(x − b) · ∂f/∂x"
    shows = "Which pixels would change the score, to first order, if they became background."
    hides = (
        "Whatever the gradient hides: it is blind where the net is saturated, and pixels equal to the background are 0."
    )
    cost = "1 forward, 1 backward"
    needs = "gradients"
    tape = False

    def attribute(self, subject: Subject) -> Findings:
        """Multiply the gradient by the difference to the background."""
        difference = (subject.x - subject.background)[0]
        yield 1, 1, [Finding(gradient[0] * difference) for gradient in subject.gradients(subject.x)]


PROBE = GradientXInput

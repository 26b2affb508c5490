"""Saliency: the gradient at each pixel."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class Saliency(Probe):
    """The gradient of the score at each pixel."""

    title = "Saliency"
    source = 'Simonyan et al. 2014, "Deep inside convolutional networks: visualising image classification models"'
    formula = "∂f/∂x; the map is the largest |∂f/∂x| over the channels"
    shows = "Which pixels the score reacts to most when they change a little."
    hides = "What the score owes to a pixel: a saturated net has no gradient where it decided."
    cost = "1 forward, 1 backward"
    needs = "gradients"
    tape = False

    def attribute(self, subject: Subject) -> Findings:
        """Take the gradient at the photo."""
        yield 1, 1, [Finding(gradient[0], reduction="largest") for gradient in subject.gradients(subject.x)]


PROBE = Saliency

"""Input magnitude: how far each pixel of the input is from zero, whatever the net."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class InputMagnitude(Probe):
    """The absolute value of the input, averaged over its channels."""

    title = "Input magnitude"
    source = 'As a control: Adebayo et al. 2018, "Sanity checks for saliency maps"'
    formula = "|x|, mean over the channels"
    shows = "Where the input is far from zero. A probe that multiplies by the input may show no more."
    hides = "The net: it is not asked."
    cost = "nothing"
    needs = "nothing"

    def attribute(self, subject: Subject) -> Findings:
        """Take the absolute value."""
        strength = subject.x[0].detach().cpu().double().abs().mean(0)
        yield 1, 1, [Finding(strength) for _ in subject.targets]


PROBE = InputMagnitude

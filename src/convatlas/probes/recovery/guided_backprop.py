"""Guided backprop."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.recovery._relu import positive_and_active, through_relus
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class GuidedBackprop(Probe):
    """The gradient, of which every ReLU passes only what is positive and came from an active unit."""

    title = "Guided backprop"
    source = 'Springenberg et al. 2015, "Striving for simplicity: the all convolutional net"'
    formula = "at each ReLU: G_x = G_y · [x > 0] · [G_y > 0]"
    shows = "Strokes of the photo that the net's filters pass on. It recovers the image."
    hides = (
        "The class: the map hardly depends on the target (Nie et al. 2018), nor on later layers (Adebayo et al. 2018)."
    )
    cost = "1 forward, 1 backward"
    needs = "gradients"
    image_recovery = True

    def attribute(self, subject: Subject) -> Findings:
        """Go back by the changed rule."""
        values = [through_relus(subject, k, positive_and_active) for k in range(len(subject.targets))]
        yield 1, 1, [Finding(each) for each in values]


PROBE = GuidedBackprop

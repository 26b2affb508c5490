"""DeconvNet."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.recovery._relu import positive_only, through_relus
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class DeconvNet(Probe):
    """The way back of the deconvolutional net: every ReLU passes what is positive of what comes back."""

    title = "DeconvNet"
    source = 'Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks"'
    formula = "at each ReLU: G_x = max(G_y, 0)"
    shows = "Patterns in the photo that excite a unit. It recovers the image."
    hides = "The class: the map hardly depends on the target (Nie et al. 2018)."
    cost = "1 forward, 1 backward"
    needs = "gradients"
    image_recovery = True

    def attribute(self, subject: Subject) -> Findings:
        """Go back by the changed rule."""
        values = [through_relus(subject, k, positive_only) for k in range(len(subject.targets))]
        yield 1, 1, [Finding(each) for each in values]


PROBE = DeconvNet

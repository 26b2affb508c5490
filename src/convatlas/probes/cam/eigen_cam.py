"""Eigen-CAM."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.probes.cam._components import first_component
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class EigenCam(Probe):
    """The first principal component of a layer's maps, whatever the target."""

    title = "Eigen-CAM"
    source = 'Muhammad & Yeasin 2020, "Eigen-CAM: class activation map using principal components"'
    formula = "A projected on its first principal component over the channels"
    shows = "Where the layer's strongest pattern lies."
    hides = "The class: the target is not asked for. The sign is that of the mean map."
    cost = "1 forward"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Decompose the maps of the chosen layer."""
        name, index = subject.place
        values = first_component(subject.tape.values[index][0])
        yield 1, 1, [Finding(values, name) for _ in subject.targets]


PROBE = EigenCam

"""EigenGrad-CAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from convatlas.probes.cam._components import first_component
from convatlas.probes.cam._weighted import weighted
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class EigenGradCam(Probe):
    """The first principal component of maps times gradients."""

    title = "EigenGrad-CAM"
    source = 'Gildenblat et al. 2021, pytorch-grad-cam; after Muhammad & Yeasin 2020, "Eigen-CAM"'
    formula = "first principal component of ∂f/∂A · A over the channels"
    shows = "The strongest common pattern in what speaks for or against the score."
    hides = "All other patterns; and the sign is that of the mean, which may be another one than the score's."
    cost = "1 forward, 1 backward"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Weight the maps of the chosen layer."""
        yield from weighted(subject, _map)


def _map(maps: Tensor, gradients: Tensor) -> Tensor:
    return first_component(gradients * maps)


PROBE = EigenGradCam

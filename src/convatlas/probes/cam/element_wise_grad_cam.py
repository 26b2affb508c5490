"""Element-wise Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from convatlas.probes.cam._weighted import weighted
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class ElementWiseGradCam(Probe):
    """The positive part of maps times gradients, place by place."""

    title = "Element-wise Grad-CAM"
    source = (
        'Pillai & Pirsiavash 2021, "Explainable models with consistent interpretations"; as implemented in '
        "pytorch-grad-cam"
    )
    formula = "Σ_k max(∂f/∂A_k · A_k, 0)"
    shows = "Where the layer holds what speaks for the score."
    hides = "Whatever speaks against it; details finer than the layer's grid."
    cost = "1 forward, 1 backward"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Weight the maps of the chosen layer."""
        yield from weighted(subject, _map)


def _map(maps: Tensor, gradients: Tensor) -> Tensor:
    return (gradients * maps).clamp(min=0).sum(0)


PROBE = ElementWiseGradCam

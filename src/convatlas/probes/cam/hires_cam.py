"""HiRes-CAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from convatlas.probes.cam._weighted import weighted
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class HiResCam(Probe):
    """Maps of a layer times their gradient, place by place: no place is credited with another one's gradient."""

    title = "HiRes-CAM"
    source = (
        'Draelos & Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural '
        'networks"'
    )
    formula = "Σ_k ∂f/∂A_k · A_k, place by place"
    shows = (
        "Where the score would change, to first order, if the layer's maps were 0; exact where only a linear layer "
        "follows."
    )
    hides = "Details finer than the layer's grid."
    cost = "1 forward, 1 backward"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Weight the maps of the chosen layer."""
        yield from weighted(subject, _map)


def _map(maps: Tensor, gradients: Tensor) -> Tensor:
    return (gradients * maps).sum(0)


PROBE = HiResCam

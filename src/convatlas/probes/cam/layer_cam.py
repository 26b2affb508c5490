"""Layer-CAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from convatlas.probes.cam._weighted import weighted
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class LayerCam(Probe):
    """Maps of a layer, weighted place by place by the positive part of their gradient."""

    title = "Layer-CAM"
    source = 'Jiang et al. 2021, "LayerCAM: exploring hierarchical class activation maps for localization"'
    formula = "Σ_k max(∂f/∂A_k, 0) · A_k"
    shows = "Where the layer holds what speaks for the score; usable at early layers, for finer maps."
    hides = "Whatever speaks against it."
    cost = "1 forward, 1 backward"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Weight the maps of the chosen layer."""
        yield from weighted(subject, _map)


def _map(maps: Tensor, gradients: Tensor) -> Tensor:
    return (gradients.clamp(min=0) * maps).sum(0)


PROBE = LayerCam

"""XGrad-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.cam._weighted import weighted
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class XGradCam(Probe):
    """Maps of a layer, weighted by their average gradient, in which places count by their activation."""

    title = "XGrad-CAM"
    source = 'Fu et al. 2020, "Axiom-based Grad-CAM: towards accurate visualization and explanation of CNNs"'
    formula = "Σ_k α_k A_k with α_k = Σ (∂f/∂A_k · A_k) / Σ A_k"
    shows = "Where the layer holds what speaks for (positive) and against (negative) the score."
    hides = "Details finer than the layer's grid."
    cost = "1 forward, 1 backward"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Weight the maps of the chosen layer."""
        yield from weighted(subject, _map)


def _map(maps: Tensor, gradients: Tensor) -> Tensor:
    sums = maps.sum((1, 2), keepdim=True)
    products = (gradients * maps).sum((1, 2), keepdim=True)
    return (torch.where(sums != 0, products / torch.where(sums != 0, sums, 1), 0) * maps).sum(0)


PROBE = XGradCam

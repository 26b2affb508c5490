"""Grad-CAM++."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.cam._weighted import weighted
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class GradCamPlusPlus(Probe):
    """Maps of a layer, weighted by positive gradients, in which rare places count more."""

    title = "Grad-CAM++"
    source = (
        'Chattopadhay et al. 2018, "Grad-CAM++: generalized gradient-based visual explanations for deep convolutional '
        'networks"'
    )
    formula = "Σ_k w_k A_k with w_k = Σ α · max(G_k, 0), α = G² / (2G² + Σ A_k · G³), G = ∂f/∂A_k"
    shows = "Where the layer holds what speaks for the score; of several objects of a class, all."
    hides = "Details finer than the layer's grid. It never shows what speaks against."
    cost = "1 forward, 1 backward"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Weight the maps of the chosen layer."""
        yield from weighted(subject, _map)


def _map(maps: Tensor, gradients: Tensor) -> Tensor:
    return plus_plus(maps, gradients, gradients**2, gradients**3)


def plus_plus(maps: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """Return the map from gradients and their powers; the score is read as a logarithm, as in the paper."""
    below = 2 * second + (maps.sum((1, 2), keepdim=True) * third)
    alpha = torch.where(below != 0, second / torch.where(below != 0, below, 1), 0)
    return ((alpha * first.clamp(min=0)).sum((1, 2), keepdim=True) * maps).sum(0)


PROBE = GradCamPlusPlus

"""Grad-CAM: maps of a layer, weighted by their average gradient."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class GradCam(Probe):
    """Maps of a layer, each weighted by its average gradient; signed, without the paper's final ReLU."""

    title = "Grad-CAM"
    source = 'Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via gradient-based localization"'
    formula = "Σ_k α_k A_k with α_k the mean of ∂f/∂A_k over the map"
    shows = "Where the layer holds what speaks for (positive) and against (negative) the score."
    hides = (
        "Details finer than the layer's grid. Since gradients are averaged, it can point to places that the score does "
        "not depend on."
    )
    cost = "1 forward, 1 backward"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Weight the maps of the chosen layer."""
        findings = []
        for k in range(len(subject.targets)):
            name, maps, gradients = subject.activations_and_gradients(k)
            weights = gradients.mean((1, 2), keepdim=True)
            findings.append(Finding((weights * maps).sum(0), name))
        yield 1, 1, findings


PROBE = GradCam

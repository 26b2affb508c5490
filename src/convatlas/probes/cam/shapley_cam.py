"""Shapley-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tail import run_tail


@dataclass(frozen=True)
class ShapleyCam(Probe):
    """Grad-CAM with Shapley values of the score's second-order expansion as weights."""

    title = "Shapley-CAM"
    source = 'Cai 2025, "CAMs as Shapley value-based explainers"'
    formula = "Σ_k α_k A_k with α_k the mean of G_k − ½ (H A)_k, G and H the first two derivatives of f at A"
    shows = "Where the layer holds what speaks for (positive) and against (negative) the score."
    hides = "Details finer than the layer's grid; what an expansion of second order does not see."
    cost = "1 forward; the tail once more, with 2 backwards"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Differentiate the tail twice."""
        tape, (name, index) = subject.tape, subject.place
        findings = []
        for k in range(len(subject.targets)):
            with torch.enable_grad():
                maps = tape.values[index].detach().clone().requires_grad_()
                score = run_tail(tape, index, maps)[0, k]
                (gradient,) = torch.autograd.grad(score, maps, create_graph=True)
                curved = gradient.requires_grad and gradient.grad_fn is not None
                product = (gradient * maps.detach()).sum()
                second = torch.autograd.grad(product, maps, allow_unused=True)[0] if curved else None
            subject.backwards += 2
            values = gradient.detach() - (0 if second is None else second / 2)
            weights = values[0].mean((1, 2), keepdim=True)
            findings.append(Finding((weights * maps.detach()[0]).sum(0), name))
        yield 1, 1, findings


PROBE = ShapleyCam

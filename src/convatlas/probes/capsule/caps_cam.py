"""Caps-CAM: maps of capsule types, weighted by the gradient at their capsules."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.capsule._capsules import children_of, needs_capsules
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class CapsCam(Probe):
    """Maps of how present each type of capsule is, weighted by the gradient, of the types that speak for the score.

    Of the method only the abstract is public: relevant capsules are selected by their gradients, and their activation
    maps are added up, weighted by these. Presence is the length of a capsule (the activation of a matrix capsule) and
    the weight of a type is the average derivative of the score by it; that is the reading here.

    Attributes:
        types: How many types to take, those of the largest weights; by default all whose weight is positive.
    """

    types: int | None = None

    title = "Caps-CAM"
    source = '"Visual explanations for capsule networks", submission 7642 to TMLR, under review in 2026'
    formula = "Σ_t α_t |u_t| over the selected types t, α_t the mean of ⟨∂f/∂u_t, u_t / |u_t|⟩ over the grid"
    shows = "Where the types of capsules are that speak for the score."
    hides = "What speaks against it; poses, of which only lengths count; details finer than the grid."
    cost = "1 forward, 1 backward"
    needs = "gradients"
    spatial = True

    def unfit(self, net: nn.Module) -> str | None:
        """Say what keeps the probe from a net."""
        return needs_capsules(net, self.name, "grad_cam")

    def attribute(self, subject: Subject) -> Findings:
        """Weight the maps of the chosen layer's capsules."""
        self.check_fit(subject.net)
        tape = subject.tape
        children = children_of(subject, tape)
        count = children.grid[0]
        if self.types is not None and (not isinstance(self.types, int) or not 1 <= self.types <= count):
            raise ConvAtlasError(f"this layer has 1 to {count} types of capsules; got {self.types!r:.40}")
        lengths = children.lengths
        findings = []
        for k in range(len(subject.targets)):
            gradient = children.unpacked(subject.back(tape, [children.index], k)[children.index])
            if children.matrices:
                derivative = gradient[..., -1]
            else:
                derivative = (gradient * children.values).sum(-1) / lengths.clamp(min=1e-30)
            weights = derivative.mean((1, 2))
            chosen = weights > 0
            if self.types is not None:
                chosen = torch.zeros_like(chosen).index_fill(0, weights.topk(self.types).indices, True)
            maps = torch.where(chosen, weights, 0)[:, None, None] * lengths
            note = f"{int(chosen.sum())} of {count} types of capsules are in the map"
            findings.append(Finding(maps.sum(0), children.layer, notes=(note,)))
        yield 1, 1, findings


PROBE = CapsCam

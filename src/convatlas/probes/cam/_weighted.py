"""Maps of a layer, weighted by a function of their gradients."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from convatlas.probes.probe import Finding, Findings
from convatlas.probes.subject import Subject

Weighting = Callable[[Tensor, Tensor], Tensor]
"""Takes the maps of a layer and the gradients at them, (K, h, w) both; returns one map, (h, w)."""


def weighted(subject: Subject, weighting: Weighting) -> Findings:
    """Apply a weighting at the chosen layer, for each target."""
    findings = []
    for k in range(len(subject.targets)):
        name, maps, gradients = subject.activations_and_gradients(k)
        findings.append(Finding(weighting(maps, gradients), name))
    yield 1, 1, findings

"""Constant: the same value everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class Constant(Probe):
    """A map that is 1 everywhere."""

    title = "Constant"
    source = 'As a control: Rao et al. 2022, "Towards better understanding attribution methods"'
    formula = "1"
    shows = "What a judge gives to a map without content."
    hides = "The photo and the net: neither is asked."
    cost = "nothing"
    needs = "nothing"

    def attribute(self, subject: Subject) -> Findings:
        """Make the map."""
        yield 1, 1, [Finding(torch.ones(subject.size, dtype=torch.float64)) for _ in subject.targets]


PROBE = Constant

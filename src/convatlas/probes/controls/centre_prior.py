"""Centre prior: the middle of the photo, whatever is there."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.checks import check_number
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class CentrePrior(Probe):
    """A Gaussian around the centre of the input.

    Attributes:
        width: Standard deviation, as a share of each side.
    """

    width: float = 0.25

    title = "Centre prior"
    source = 'As a control: Judd et al. 2009, "Learning to predict where humans look"'
    formula = "exp(−(u² + v²) / 2 width²), u and v the distance from the centre as a share of the side"
    shows = "Where photographers put what matters. A map has to be better than this to locate anything."
    hides = "The photo and the net: neither is asked."
    cost = "nothing"
    needs = "nothing"

    def attribute(self, subject: Subject) -> Findings:
        """Draw the Gaussian."""
        check_number("width", self.width, ends=(False, True))
        sides = [(torch.arange(side, dtype=torch.float64) + 0.5) / side - 0.5 for side in subject.size]
        down, across = ((-(side / self.width).square() / 2).exp() for side in sides)
        yield 1, 1, [Finding(torch.outer(down, across)) for _ in subject.targets]


PROBE = CentrePrior

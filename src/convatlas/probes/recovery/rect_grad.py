"""RectGrad: only the most important units of each ReLU pass anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.checks import check_number
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.recovery._relu import through_relus
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class RectGrad(Probe):
    """The gradient, of which every ReLU passes only the units whose activation times gradient is among the largest.

    Attributes:
        percentile: Percentage of units that pass nothing.
    """

    percentile: float = 98.0

    title = "RectGrad"
    source = 'Kim et al. 2019, "Why are saliency maps noisy? Cause of and solution to noisy saliency maps"'
    formula = "at each ReLU: G_x = G_y · [y·G_y > its percentile, and > 0]; at the photo x·G_x"
    shows = "Strokes of the photo along the strongest ways through the net. It recovers the image."
    hides = "All weaker ways; the map hardly depends on later layers (Sixt et al. 2020)."
    cost = "1 forward, 1 backward"
    needs = "gradients"
    image_recovery = True

    def attribute(self, subject: Subject) -> Findings:
        """Go back by the changed rule."""
        check_number("percentile", self.percentile, 0, 100, ends=(True, False))

        def change(x: Tensor, gradient: Tensor) -> Tensor:
            share = x.clamp(min=0) * gradient
            rows = share.flatten(1)
            rank = int((rows.shape[1] - 1) * self.percentile / 100) + 1
            bound = rows.kthvalue(rank, 1).values.clamp(min=0)
            return torch.where(share > bound.view(-1, *[1] * (x.ndim - 1)), gradient, 0)

        values = [through_relus(subject, k, change) * subject.x[0] for k in range(len(subject.targets))]
        yield 1, 1, [Finding(each) for each in values]


PROBE = RectGrad

"""Sobel: the edges of the photo, whatever the net."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d, pad

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class Sobel(Probe):
    """The strength of edges in the input, averaged over its channels."""

    title = "Sobel edges"
    source = 'Sobel & Feldman 1968; as a control: Adebayo et al. 2018, "Sanity checks for saliency maps"'
    formula = "√(g_x² + g_y²), mean over the channels"
    shows = "Edges of the photo. A probe whose maps look like this may show no more."
    hides = "The net: it is not asked."
    cost = "nothing"
    needs = "nothing"

    def attribute(self, subject: Subject) -> Findings:
        """Filter the input."""
        x = subject.x.double()
        across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=x.dtype, device=x.device) / 8
        kernels = torch.stack([across, across.mT])[:, None]
        edges = conv2d(pad(x.transpose(0, 1), (1, 1, 1, 1), "replicate"), kernels)
        strength = edges.square().sum(1).sqrt().mean(0)
        yield 1, 1, [Finding(strength) for _ in subject.targets]


PROBE = Sobel

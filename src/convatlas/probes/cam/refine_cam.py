"""Refine-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from convatlas.probes.cam._factors import blank_factors
from convatlas.probes.cam.grad_cam_plus_plus import plus_plus
from convatlas.probes.checks import check_whole
from convatlas.probes.layers import spatial_layers
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class RefineCam(Probe):
    """The product of the positive Grad-CAM++ maps of several layers, each stretched to 0..1.

    The layers are the last ones of each size of map, from the chosen layer upwards.

    Attributes:
        levels: Number of layers.
    """

    levels: int = 3

    title = "Refine-CAM"
    source = "arXiv 2605.14641 (2026), as summarised in pytorch-grad-cam"
    formula = "Π_l max(M_l, 0) / max M_l over layers l, enlarged to the input"
    shows = "Fine structures of early layers, kept only where late layers speak for the score."
    hides = "Evidence that a single layer holds; whatever speaks against."
    cost = "1 forward, 1 backward a layer"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Multiply the maps of the layers."""
        check_whole("levels", self.levels, 1, 100)
        tape, (chosen, last) = subject.tape, subject.place
        by_size: dict[tuple[int, ...], int] = {}
        names = {index: name for name, index in spatial_layers(tape).items()} | {last: chosen}
        for index in names:
            if index <= last:
                by_size[tuple(tape.values[index].shape[2:])] = index
        layers = sorted({*by_size.values(), last})[-self.levels :]
        note = f"of {', '.join(names[index] for index in layers)}"
        findings = []
        for k in range(len(subject.targets)):
            gradients = subject.back(tape, layers, k)
            levels = {
                f"Grad-CAM++ at {names[index]} is nowhere positive: it": _level(
                    tape.values[index][0], gradients[index][0], subject.size
                )
                for index in layers
            }
            product = torch.stack(list(levels.values())).prod(0)
            findings.append(Finding(product, notes=(note, *blank_factors(levels))))
        yield 1, 1, findings


def _level(maps: Tensor, gradient: Tensor, size: tuple[int, int]) -> Tensor:
    """The positive map of one layer, stretched to 0..1 and enlarged."""
    values = plus_plus(maps, gradient, gradient**2, gradient**3).clamp(min=0)
    largest = values.max()
    scaled = values / largest if float(largest) > 0 else values
    return interpolate(scaled[None, None], size, mode="bilinear")[0, 0]


PROBE = RefineCam

"""Recipro-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tail import tail_scores


@dataclass(frozen=True)
class ReciproCam(Probe):
    """The score if only one place of a layer, softly with its neighbours, is left."""

    title = "Recipro-CAM"
    source = 'Byun & Lee 2022, "Recipro-CAM: fast gradient-free visual explanations for convolutional neural networks"'
    formula = "S(p) = f(A · Gaussian around p), for each place p"
    shows = "Which places of the layer suffice for the score."
    hides = "Places that work together only; details finer than the layer's grid."
    cost = "1 forward; then the tail once a place"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Leave one place after the other."""
        tape, (name, index) = subject.tape, subject.place
        maps = tape.values[index][0]
        height, width = maps.shape[1:]
        rows, columns = torch.arange(height).to(maps), torch.arange(width).to(maps)

        def around(start: int, stop: int) -> Tensor:
            places = torch.arange(start, stop, device=maps.device)
            down = _near(rows[None] - (places // width)[:, None])
            across = _near(columns[None] - (places % width)[:, None])
            return maps * (down[:, :, None] * across[:, None, :])[:, None]

        parts = []
        for _, stop, scores in tail_scores(tape, index, height * width, around, subject.memory):
            parts.append(scores)
            yield stop, height * width, None
        yield 1, 1, [Finding(column.view(height, width), name) for column in torch.cat(parts).T]


def _near(distance: Tensor) -> Tensor:
    """The paper's 3 × 3 Gaussian along one side: 1 at the place, ½ beside it, 0 elsewhere."""
    return (distance == 0).to(distance) + 0.5 * (distance.abs() == 1)


PROBE = ReciproCam

"""Ablation-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tail import tail_is_affine, tail_scores


@dataclass(frozen=True)
class AblationCam(Probe):
    """Maps of a layer, each weighted by what the score loses without it.

    Only what follows the layer runs again. Where that is linear, the losses are read off one way back.
    """

    title = "Ablation-CAM"
    source = (
        'Ramaswamy et al. 2020, "Ablation-CAM: visual explanations for deep convolutional network via gradient-free '
        'localization"'
    )
    formula = "Σ_k (f(A) − f(A without A_k)) · A_k (the paper divides by f, which turns the map if f is negative)"
    shows = "Where the layer holds what the score would lose."
    hides = "Channels that stand in for each other; details finer than the layer's grid."
    cost = "1 forward; then the tail once a channel, or not at all where it is linear"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Leave out one channel after the other."""
        tape, (name, index) = subject.tape, subject.place
        maps = tape.values[index][0]
        if tail_is_affine(tape, index):
            rows = []
            for k in range(len(subject.targets)):
                gradient = subject.back(tape, [index], k)[index][0]
                rows.append((gradient * maps).sum((1, 2)).double().cpu())
            losses = torch.stack(rows, 1)
        else:

            def without(start: int, stop: int) -> Tensor:
                batch = maps.repeat(stop - start, 1, 1, 1)
                batch[torch.arange(stop - start), torch.arange(start, stop)] = 0
                return batch

            parts = []
            for _, stop, scores in tail_scores(tape, index, len(maps), without, subject.memory):
                parts.append(tape.values[tape.output].double().cpu() - scores)
                yield stop, len(maps), None
            losses = torch.cat(parts)
        yield 1, 1, [Finding((column.to(maps).view(-1, 1, 1) * maps).sum(0), name) for column in losses.T]


PROBE = AblationCam

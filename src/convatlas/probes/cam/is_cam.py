"""IS-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.cam._masked import findings_of, masked_scores
from convatlas.probes.checks import check_whole
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class IsCam(Probe):
    """Score-CAM with the scores averaged while each mask is faded in.

    Attributes:
        steps: Steps of fading.
    """

    steps: int = 4

    title = "IS-CAM"
    source = 'Naidu et al. 2020, "IS-CAM: integrated Score-CAM for axiomatic-based explanations"'
    formula = "as Score-CAM, with the mean score over i/n · mask, i = 1 to n"
    cost = "4 forwards a channel of the layer"
    shows = "Where the layer holds patterns that alone raise the score."
    hides = "Patterns that work together only; whatever speaks against. The background is part of the answer."
    needs = "gradients"
    scores_photos = True
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Look through faded masks of each channel."""
        check_whole("steps", self.steps, 1, 1000)

        def change(mask: Tensor, repeat: int) -> Tensor:
            return mask * (repeat + 1) / self.steps

        scores = []
        for done, total, part in masked_scores(subject, self.steps, change):
            scores.append(part)
            yield done, total, None
        means = torch.cat(scores).view(-1, self.steps, len(subject.targets)).mean(1)
        yield 1, 1, findings_of(subject, means)


PROBE = IsCam

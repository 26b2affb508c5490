"""Score-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.cam._masked import findings_of, masked_scores
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class ScoreCam(Probe):
    """Maps of a layer, each weighted by the score of the photo seen through it alone."""

    title = "Score-CAM"
    source = 'Wang et al. 2020, "Score-CAM: score-weighted visual explanations for convolutional neural networks"'
    formula = "Σ_k softmax_k(f(photo through A_k) − f(background)) · A_k"
    cost = "1 forward a channel of the layer"
    shows = "Where the layer holds patterns that alone raise the score."
    hides = "Patterns that work together only; whatever speaks against. The background is part of the answer."
    needs = "gradients"
    scores_photos = True
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Look through each channel."""
        scores = []
        for done, total, part in masked_scores(subject):
            scores.append(part)
            yield done, total, None
        yield 1, 1, findings_of(subject, torch.cat(scores))


PROBE = ScoreCam

"""SS-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.probes.cam._masked import findings_of, masked_scores
from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class SsCam(Probe):
    """Score-CAM with noise on the masks.

    Attributes:
        samples: Noisy masks of each channel.
        noise: Standard deviation of the noise, as a share of the mask's range.
    """

    samples: int = 4
    noise: float = 0.2

    title = "SS-CAM"
    source = 'Wang et al. 2020, "SS-CAM: smoothed Score-CAM for sharper visual feature localization"'
    formula = "as Score-CAM, with the mean score over noisy masks"
    cost = "4 forwards a channel of the layer"
    shows = "Where the layer holds patterns that alone raise the score."
    hides = "Patterns that work together only; whatever speaks against. The background is part of the answer."
    needs = "gradients"
    scores_photos = True
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Look through noisy masks of each channel."""
        check_whole("samples", self.samples, 1, 1000)
        check_number("noise", self.noise, 0, 10)
        generator = subject.generator()

        def change(mask: Tensor, repeat: int) -> Tensor:
            noise = torch.randn(mask.shape, generator=generator, dtype=torch.float64).to(mask)
            return (mask + self.noise * noise).clamp(0, 1)

        scores = []
        for done, total, part in masked_scores(subject, self.samples, change):
            scores.append(part)
            yield done, total, None
        means = torch.cat(scores).view(-1, self.samples, len(subject.targets)).mean(1)
        yield 1, 1, findings_of(subject, means)


PROBE = SsCam

"""Expected gradients: integrated gradients over many backgrounds."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.gradient._noise import GRADIENT_BATCH
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class ExpectedGradients(Probe):
    """Gradients at random points between the photo and random backgrounds, each times their difference.

    The backgrounds are the photos of the concept "background" if the caller gives some, else noisy copies of the
    background. Points are spread evenly along the lines (stratified), and over the photos, which lowers the error.

    Attributes:
        samples: Number of points.
        noise: Standard deviation of the noise on the background, as a share of the range of the input.
    """

    samples: int = 64
    noise: float = 0.1

    title = "Expected gradients"
    source = (
        'Erion et al. 2021, "Improving performance of deep learning models with axiomatic attribution priors and '
        'expected gradients"'
    )
    formula = "E over b and t of (x − b) · ∂f/∂x at b + t(x − b); the sum tends to f(x) − E f(b)"
    shows = "How much of the difference to typical backgrounds each pixel contributed."
    hides = "What depends on which backgrounds are typical; the sum is right on average only."
    cost = "1 forward and 1 backward a sample, 64 by default"
    needs = "gradients"
    tape = False

    def attribute(self, subject: Subject) -> Findings:
        """Average over points."""
        check_whole("samples", self.samples, 2, 100_000)
        check_number("noise", self.noise, 0, 10)
        x, generator = subject.x, subject.generator()
        pool = subject.concepts.get("background")
        deviation = self.noise * float(x.max() - x.min())
        total, squares = (torch.zeros(len(subject.targets), *x.shape[1:]).to(x) for _ in range(2))
        starts = torch.zeros(len(subject.targets), dtype=torch.float64)
        order = torch.randperm(self.samples, generator=generator)
        turns = None if pool is None else torch.randperm(len(pool), generator=generator)
        for start in range(0, self.samples, GRADIENT_BATCH):
            places = order[start : start + GRADIENT_BATCH]
            count = len(places)
            if pool is not None and turns is not None:
                background = pool[turns[torch.arange(start, start + count) % len(pool)]].to(x)
            else:
                noise = torch.randn(count, *x.shape[1:], generator=generator, dtype=torch.float64).to(x)
                background = subject.background + deviation * noise
            t = (places + torch.rand(count, generator=generator)).to(x).view(-1, 1, 1, 1) / self.samples
            gradients = subject.gradients(background + t * (x - background))
            starts += subject.scores(background).sum(0)
            for k in range(len(subject.targets)):
                parts = gradients[k] * (x - background)
                total[k] += parts.sum(0)
                squares[k] += parts.square().sum(0)
            yield start + count, self.samples, None
        mean = total / self.samples
        error = ((squares / self.samples - mean.square()).clamp(min=0) / (self.samples - 1)).sqrt()
        scores, starts = subject.own_scores, starts / self.samples
        residuals = [
            abs(float(values.double().sum()) - float(score - start)) / max(abs(float(score)), abs(float(start)), 1e-300)
            for values, score, start in zip(mean, scores, starts, strict=True)
        ]
        yield (
            1,
            1,
            [
                Finding(values, residual=residual, standard_error=each)
                for values, residual, each in zip(mean, residuals, error, strict=True)
            ],
        )


PROBE = ExpectedGradients

"""DeepLIFT-SHAP: DeepLIFT over many backgrounds."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.relevance.deep_lift import difference_shared
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class DeepLiftShap(Probe):
    """The average of DeepLIFT over random backgrounds.

    The backgrounds are the photos of the concept "background" if the caller gives some, else noisy copies of the
    background.

    Attributes:
        samples: Number of backgrounds.
        noise: Standard deviation of the noise on the background, as a share of the range of the input.
    """

    samples: int = 8
    noise: float = 0.1

    title = "DeepLIFT-SHAP"
    source = 'Lundberg & Lee 2017, "A unified approach to interpreting model predictions"'
    formula = "E over backgrounds b of DeepLIFT(x, b); the sum is f(x) − E f(b)"
    shows = "How much of the difference to typical backgrounds each pixel contributed."
    hides = "What depends on which backgrounds are typical."
    cost = "1 forward, then 1 forward and 1 way back a background, 8 by default"
    needs = "relevance"
    rules = "secants"

    def attribute(self, subject: Subject) -> Findings:
        """Average over backgrounds."""
        check_whole("samples", self.samples, 1, 100_000)
        check_number("noise", self.noise, 0, 10)
        x, generator, tape = subject.x, subject.generator(), subject.tape
        pool = subject.concepts.get("background")
        deviation = self.noise * float(x.max() - x.min())
        count = self.samples if pool is None else min(self.samples, len(pool))
        chosen = None if pool is None else torch.randperm(len(pool), generator=generator)[:count]
        sums: list[list[Finding]] = [[] for _ in subject.targets]
        for number in range(count):
            if pool is not None and chosen is not None:
                background = pool[chosen[number] : chosen[number] + 1].to(x)
            else:
                noise = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
                background = subject.background + deviation * noise
            other = subject.tape_of(background)
            for k, findings in enumerate(sums):
                findings.append(difference_shared(subject, tape, other, k, "rescale", self.name))
            yield number, count, None
        yield 1, 1, [_mean(findings) for findings in sums]


def _mean(findings: list[Finding]) -> Finding:
    values = torch.stack([finding.values for finding in findings])
    error = values.std(0) / len(findings) ** 0.5 if len(findings) > 1 else None
    return Finding(
        values.mean(0),
        residual=max(finding.residual or 0.0 for finding in findings),
        condition=max(finding.condition or 0.0 for finding in findings),
        standard_error=error,
        coverage=findings[0].coverage,
    )


PROBE = DeepLiftShap

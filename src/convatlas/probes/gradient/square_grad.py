"""SquareGrad: gradients at noisy copies of the photo."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.gradient._noise import noisy_gradients
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class SquareGrad(Probe):
    """The average squared gradient over copies of the photo with noise.

    Attributes:
        samples: Number of noisy copies.
        noise: Standard deviation of the noise, as a share of the range of the input.
    """

    samples: int = 32
    noise: float = 0.15

    title = "SquareGrad"
    source = 'Hooker et al. 2019, "A benchmark for interpretability methods in deep neural networks"'
    formula = "mean of (∂f/∂x)² over noisy copies of the photo"
    shows = "Which pixels the score reacts to strongly, whatever the sign."
    hides = "What the score owes to a pixel; and the noise leads to photos that the net has never met."
    cost = "1 forward and 1 backward a sample, 32 by default"
    needs = "gradients"
    tape = False

    def attribute(self, subject: Subject) -> Findings:
        """Average over the copies."""
        total = torch.zeros(())
        for done, gradients in noisy_gradients(subject, self.samples, self.noise):
            total = total + gradients.square().sum(1)
            yield done, self.samples, None
        yield 1, 1, [Finding(values) for values in total / self.samples]


PROBE = SquareGrad

"""SmoothGrad: gradients at noisy copies of the photo."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.gradient._noise import noisy_gradients
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class SmoothGrad(Probe):
    """The average gradient over copies of the photo with noise.

    Attributes:
        samples: Number of noisy copies.
        noise: Standard deviation of the noise, as a share of the range of the input.
    """

    samples: int = 32
    noise: float = 0.15

    title = "SmoothGrad"
    source = 'Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise"'
    formula = "mean of ∂f/∂x over noisy copies of the photo"
    shows = "Which pixels the score reacts to, with the gradient's own noise averaged away."
    hides = "What the score owes to a pixel; and the noise leads to photos that the net has never met."
    cost = "1 forward and 1 backward a sample, 32 by default"
    needs = "gradients"
    tape = False

    def attribute(self, subject: Subject) -> Findings:
        """Average over the copies."""
        total, squares = torch.zeros(()), torch.zeros(())
        for done, gradients in noisy_gradients(subject, self.samples, self.noise):
            total, squares = total + gradients.sum(1), squares + gradients.square().sum(1)
            yield done, self.samples, None
        mean = total / self.samples
        variance = (squares / self.samples - mean.square()).clamp(min=0)
        error = (variance / max(self.samples - 1, 1)).sqrt()
        yield (
            1,
            1,
            [
                Finding(values, reduction="largest", standard_error=each)
                for values, each in zip(mean, error, strict=True)
            ],
        )


PROBE = SmoothGrad

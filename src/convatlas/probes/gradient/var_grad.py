"""VarGrad: gradients at noisy copies of the photo."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.checks import check_whole
from convatlas.probes.gradient._noise import noisy_gradients
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class VarGrad(Probe):
    """The variance of the gradient over copies of the photo with noise.

    Attributes:
        samples: Number of noisy copies.
        noise: Standard deviation of the noise, as a share of the range of the input.
    """

    samples: int = 32
    noise: float = 0.15

    title = "VarGrad"
    source = (
        'Adebayo et al. 2018, "Local explanation methods for deep neural networks lack sensitivity to parameter values"'
    )
    formula = "variance of ∂f/∂x over noisy copies of the photo"
    shows = "At which pixels the gradient changes when the photo changes a little."
    hides = "What the score owes to a pixel; and the noise leads to photos that the net has never met."
    cost = "1 forward and 1 backward a sample, 32 by default"
    needs = "gradients"
    tape = False

    def attribute(self, subject: Subject) -> Findings:
        """Average over the copies."""
        check_whole("samples", self.samples, 2, 100_000)
        total, squares = torch.zeros(()), torch.zeros(())
        middle = subject.gradients(subject.x)
        for done, gradients in noisy_gradients(subject, self.samples, self.noise):
            # Differences to the gradient at the photo: sums of squares of large numbers would cancel.
            steps = gradients - middle
            total, squares = total + steps.sum(1), squares + steps.square().sum(1)
            yield done, self.samples, None
        variance = (squares - total.square() / self.samples) / (self.samples - 1)
        yield 1, 1, [Finding(values) for values in variance.clamp(min=0)]


PROBE = VarGrad

"""Smooth Grad-CAM++."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.cam.grad_cam_plus_plus import plus_plus
from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class SmoothGradCamPlusPlus(Probe):
    """Grad-CAM++ with gradients and their powers averaged over noisy copies of the photo.

    Attributes:
        samples: Number of noisy copies.
        noise: Standard deviation of the noise, as a share of the range of the input.
    """

    samples: int = 16
    noise: float = 0.1

    title = "Smooth Grad-CAM++"
    source = 'Omeiza et al. 2019, "Smooth Grad-CAM++: an enhanced inference level visualization technique"'
    formula = "Grad-CAM++ with the means of G, G² and G³ over noisy copies"
    shows = "Where the layer holds what speaks for the score."
    hides = "Whatever speaks against it; details finer than the layer's grid."
    cost = "1 forward and 1 backward a sample, 16 by default"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Average over the copies."""
        check_whole("samples", self.samples, 1, 10_000)
        check_number("noise", self.noise, 0, 10)
        (name, index), x = subject.place, subject.x
        maps = subject.tape.values[index][0]
        powers = torch.zeros(len(subject.targets), 3, *maps.shape, dtype=maps.dtype, device=maps.device)
        generator, deviation = subject.generator(), self.noise * float(x.max() - x.min())
        for number in range(self.samples):
            noise = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
            tape = subject.tape_of(x + deviation * noise)
            for k in range(len(subject.targets)):
                gradient = subject.back(tape, [index], k)[index][0]
                powers[k] += torch.stack([gradient, gradient**2, gradient**3]) / self.samples
            yield number, self.samples, None
        yield 1, 1, [Finding(plus_plus(maps, *each), name) for each in powers]


PROBE = SmoothGradCamPlusPlus

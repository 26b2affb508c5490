"""Smooth Grad-CAM++."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.cam.grad_cam_plus_plus import plus_plus
from convatlas.probes.checks import check_number, check_whole
from convatlas.probes.layers import layer_named, spatial_layers
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tape import Tape


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
        x, places = subject.x, [subject.place_of(k) for k in range(len(subject.targets))]
        maps = [subject.tape.values[index][0] for _, index in places]
        powers = [torch.zeros_like(each).repeat(3, 1, 1, 1) for each in maps]
        generator, deviation = subject.generator(), self.noise * float(x.max() - x.min())
        for number in range(self.samples):
            noise = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
            tape = subject.tape_of(x + deviation * noise)
            for k, (name, _) in enumerate(places):
                index = _index(subject, tape, k, name)
                gradient = subject.back(tape, [index], k)[index][0]
                if gradient.shape != maps[k].shape:
                    raise ConvAtlasError(f"{name} has maps of another shape for noisy photos: use grad_cam_plus_plus")
                powers[k] += torch.stack([gradient, gradient**2, gradient**3]) / self.samples
            yield number, self.samples, None
        yield 1, 1, [Finding(plus_plus(maps[k], *powers[k]), name) for k, (name, _) in enumerate(places)]


def _index(subject: Subject, tape: Tape, target: int, name: str) -> int:
    """Index of a layer's maps on the tape of a noisy photo, for which the net may go another way."""
    named = spatial_layers(tape)
    return named[name] if name in named else layer_named(tape, subject.layer, target)[1]


PROBE = SmoothGradCamPlusPlus

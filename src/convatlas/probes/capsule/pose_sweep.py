"""Pose sweep: reconstructions while one number of a class's capsule is changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.capsule._capsules import class_of, needs_decoder
from convatlas.probes.capsule._pictures import outputs, pixels
from convatlas.probes.gallery.gallery import Exhibit, Exhibition
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class PoseSweep(Probe):
    """Reconstructions of a class's capsule while each of its numbers is changed in turn.

    Attributes:
        reach: Largest change, in both directions.
        step: Change from one picture to the next.
    """

    reach: float = 0.25
    step: float = 0.05

    title = "Pose sweep"
    source = 'Sabour et al. 2017, "Dynamic routing between capsules", figure 4'
    formula = "decoder(v_j + δ e_d) for each dimension d and δ from −0.25 to 0.25 by 0.05"
    shows = "What of a photo each number of the capsule stands for: thickness, skew, a part."
    hides = "What several numbers do together: they are often entangled (Tawalbeh & Oramas 2023)."
    cost = "1 forward, and the decoder 11 times a dimension"
    needs = "gradients"
    pictures = True

    def unfit(self, net: nn.Module) -> str | None:
        """Say what keeps the probe from a net."""
        return needs_decoder(net, self.name)

    def attribute(self, subject: Subject) -> Findings:
        """Decode changed capsules."""
        self.check_fit(subject.net)
        if not 0 < self.step <= self.reach <= 10 or self.reach / self.step > 100:
            raise ConvAtlasError(
                f"a sweep reaches up to 10, in 1 to 100 steps; got {self.reach!r:.40} by {self.step!r:.40}"
            )
        net, stages = outputs(subject)
        poses = stages["poses"]
        half = round(self.reach / self.step)
        changes = torch.arange(-half, half + 1).to(poses) * self.step
        size, shown = poses.shape[2], []
        for k in range(len(subject.targets)):
            label = class_of(subject, k, self.name)
            exhibits, arrays = [], []
            for dimension in range(size):
                changed = poses.repeat(len(changes), 1, 1)
                changed[:, label, dimension] += changes
                labels = torch.full((len(changes),), label, device=poses.device)
                with torch.inference_mode():
                    photos = net.reconstruct(changed, labels)
                arrays.append(photos.cpu())
                exhibits += [
                    Exhibit(f"{dimension} {change:+.3g}", pixels(photo), f"{change:+.3g}", f"dimension {dimension}")
                    for photo, change in zip(photos, changes.tolist(), strict=True)
                ]
                yield k * size + dimension, size * len(subject.targets), None
            shown.append(Exhibition(tuple(exhibits), "poses", {}, {"reconstructions": torch.stack(arrays).numpy()}))
        yield 1, 1, shown


PROBE = PoseSweep

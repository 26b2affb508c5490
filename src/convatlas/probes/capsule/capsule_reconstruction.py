"""Capsule reconstruction: the photo that the decoder makes of each class's capsule."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from convatlas.probes.capsule._capsules import class_of, needs_decoder
from convatlas.probes.capsule._pictures import class_name, outputs, pixels
from convatlas.probes.gallery.gallery import Exhibit, Exhibition
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class CapsuleReconstruction(Probe):
    """Reconstructions from the capsule of the target's class and, to compare, of every other class.

    Attributes:
        others: Whether other classes are shown too, the longest capsule first.
    """

    others: bool = True

    title = "Capsule reconstruction"
    source = (
        'Sabour et al. 2017, "Dynamic routing between capsules"; of wrong classes Quetscher et al. 2022, '
        '"Investigation of capsule networks regarding their potential of explainability and image rankings"'
    )
    formula = "r_j = decoder(v_j, all other capsules 0), and |x − r_j|"
    shows = "What the capsule of a class knows of the photo, and what of the photo it leaves unexplained."
    hides = "What the decoder invents: it was trained on true classes, and a wrong capsule is none of its inputs."
    cost = "1 forward, and the decoder once a class"
    needs = "gradients"
    pictures = True

    def unfit(self, net: nn.Module) -> str | None:
        """Say what keeps the probe from a net."""
        return needs_decoder(net, self.name)

    def attribute(self, subject: Subject) -> Findings:
        """Decode the capsules."""
        self.check_fit(subject.net)
        net, stages = outputs(subject)
        poses, lengths = stages["poses"], stages["head"][0].double().cpu()
        count = poses.shape[1]
        with torch.inference_mode():
            photos = net.reconstruct(poses.expand(count, -1, -1), torch.arange(count, device=poses.device))
        residuals = subject.x - photos
        errors = residuals.double().square().sum((1, 2, 3)).cpu()
        shown = []
        for k in range(len(subject.targets)):
            label = class_of(subject, k, self.name)
            order = [label] + [j for j in lengths.argsort(descending=True).tolist() if j != label and self.others]
            exhibits = [Exhibit("photo", pixels(subject.x[0]), "the photo", "photo")]
            for j in order:
                name = class_name(net, j)
                row = f"class {name}" if j == label else "other classes"
                numbers = {"length": float(lengths[j]), "squared error": float(errors[j])}
                caption = f"{name}: length {lengths[j]:.3f}, squared error {errors[j]:.2f}"
                exhibits.append(Exhibit(f"reconstruction {j}", pixels(photos[j]), caption, row, numbers))
                exhibits.append(
                    Exhibit(f"residual {j}", pixels(residuals[j].abs()), f"{name}: distance from the photo", row)
                )
            arrays = {"reconstructions": photos.cpu().numpy(), "residuals": residuals.cpu().numpy()}
            numbers = {"length": float(lengths[label]), "squared error": float(errors[label])}
            shown.append(Exhibition(tuple(exhibits), "reconstruction", numbers, arrays))
        yield 1, 1, shown


PROBE = CapsuleReconstruction

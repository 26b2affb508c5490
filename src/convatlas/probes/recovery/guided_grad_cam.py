"""Guided Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn.functional import interpolate

from convatlas.probes.cam._factors import blank_factors
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.recovery._relu import positive_and_active, through_relus
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class GuidedGradCam(Probe):
    """Guided backprop where Grad-CAM is positive."""

    title = "Guided Grad-CAM"
    source = 'Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via gradient-based localization"'
    formula = "guided backprop · max(Grad-CAM, 0), enlarged to the input"
    shows = "Strokes of the photo in the region that speaks for the class. It recovers the image."
    hides = "Which of these strokes matter: within the region it is guided backprop (Adebayo et al. 2018)."
    cost = "1 forward, 2 backwards"
    needs = "gradients"
    spatial = True
    image_recovery = True

    def attribute(self, subject: Subject) -> Findings:
        """Multiply both maps."""
        findings = []
        for k in range(len(subject.targets)):
            strokes = through_relus(subject, k, positive_and_active)
            layer, maps, gradients = subject.activations_and_gradients(k)
            cam = (gradients.mean((1, 2), keepdim=True) * maps).sum(0).clamp(min=0)
            enlarged = interpolate(cam[None, None], subject.size, mode="bilinear")[0, 0]
            factors = {"guided backprop": strokes, f"Grad-CAM at {layer} is nowhere positive: it": cam}
            findings.append(Finding(strokes * enlarged, notes=blank_factors(factors)))
        yield 1, 1, findings


PROBE = GuidedGradCam

"""CAM: class activation mapping."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tail import tail_is_affine


@dataclass(frozen=True)
class Cam(Probe):
    """Maps of the last layer, each with its weight in the dense layer, where only averaging lies between both."""

    title = "CAM"
    source = 'Zhou et al. 2016, "Learning deep features for discriminative localization"'
    formula = "Σ_k w_k A_k; its mean and the bias are the score"
    shows = "Where the last layer holds what speaks for and against the class, exactly."
    hides = "Details finer than the layer's grid. Only nets with global average pooling and one dense layer have it."
    cost = "1 forward, 1 way back of the tail"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Read the weights off the tail, which must be linear and the same at all places."""
        findings = []
        for k in range(len(subject.targets)):
            name, maps, gradients = subject.activations_and_gradients(k)
            weights = gradients.mean((1, 2), keepdim=True)
            even = (gradients - weights).abs().max() <= 1e-5 * weights.abs().max()
            if not tail_is_affine(subject.tape, subject.place[1]) or not bool(even):
                raise ConvAtlasError(
                    f"between {name} and the score lies more than averaging and a dense layer: use grad_cam"
                )
            findings.append(Finding((weights * maps).sum(0) * maps[0].numel(), name))
        yield 1, 1, findings


PROBE = Cam

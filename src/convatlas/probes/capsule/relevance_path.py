"""Relevance path by agreement: the children that routing assigns to a class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from convatlas.probes.capsule._agreement import agreements
from convatlas.probes.capsule._capsules import class_of, needs_agreement
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class RelevancePath(Probe):
    """The share in a class capsule of those children that are coupled more strongly to it than to any other class.

    The paper reads the path off the couplings and says of no threshold; here a child is on the path of the class that
    has its largest coupling.
    """

    title = "Relevance path by agreement"
    source = 'Shahroudnejad et al. 2018, "Improved explainability of capsule networks: relevance path by agreement"'
    formula = "c_ij ⟨û_ij, s_j / |s_j|⟩ where j = argmax_k c_ik, otherwise 0"
    shows = "Which children routing assigned to the class, and how much of its length they hold."
    hides = (
        "Children that are shared among classes, which may hold most of the length; with one round of routing no child "
        "is assigned."
    )
    cost = "1 forward"
    needs = "gradients"

    def unfit(self, net: nn.Module) -> str | None:
        """Say what keeps the probe from a net."""
        return needs_agreement(net, self.name, "lrp")

    def attribute(self, subject: Subject) -> Findings:
        """Keep the children on the path of each target."""
        self.check_fit(subject.net)
        shares = agreements(subject, subject.tape_of(subject.x))
        # Equal couplings assign nothing: the largest one has to be larger than the next.
        best = shares.couplings.topk(min(2, shares.couplings.shape[-1]), -1)
        decided = best.values[..., 0] > best.values[..., -1] if best.values.shape[-1] == 2 else True
        findings = []
        for k in range(len(subject.targets)):
            label = class_of(subject, k, self.name)
            path = (best.indices[..., 0] == label) & decided
            values = torch.where(path, shares.values[..., label], 0)
            part = float(values.sum() / shares.lengths[label].clamp(min=1e-30))
            note = f"{int(path.sum())} of {path.numel()} children are on the path and hold {part:.1%} of |s|"
            findings.append(Finding(values, shares.children.layer, notes=(note,)))
        yield 1, 1, findings


PROBE = RelevancePath

"""Agreement: the share of each child capsule in a class capsule, which sums exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.nets.families.capsnet import CapsNet
from convatlas.probes.capsule._agreement import Agreements, agreements
from convatlas.probes.capsule._capsules import class_of, needs_agreement
from convatlas.probes.certificate import check_condition, check_residual
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.relevance.lrp import Lrp
from convatlas.probes.rules.relevance import Relevance
from convatlas.probes.subject import Subject
from convatlas.probes.tape.backward import backward

CHAINS = ("none", "lrp", "gradient_x_input")
"""Ways from the capsules to the pixels."""


@dataclass(frozen=True)
class Agreement(Probe):
    """The share of each child capsule in the length of a class capsule before squashing.

    Attributes:
        pixels: "none": the map lies on the grid of the children. "lrp" carries the shares on to the pixels by the rules
            of relevance, "gradient_x_input" by the gradient, with routing and direction held fixed.
    """

    pixels: str = "none"

    title = "Agreement attribution"
    source = "an identity of Sabour et al. 2017, procedure 1; the map is of convatlas"
    formula = "c_ij ⟨û_ij, s_j / |s_j|⟩ for each child i, whose sum is |s_j|; the capsule's length is |s|² / (1 + |s|²)"
    shows = "Which children, and where, make the capsule of the class long, or (negative) shorten it."
    hides = (
        "Why the couplings are as they are: they are taken as fixed. Lengths cannot tell a child from its negative "
        "(Peer et al. 2019)."
    )
    cost = "1 forward; 1 way back through the convolutions to the pixels"
    needs = "gradients"

    def unfit(self, net: nn.Module) -> str | None:
        """Say what keeps the probe from a net."""
        return needs_agreement(net, self.name, "grad_cam")

    def attribute(self, subject: Subject) -> Findings:
        """Share the length of each class capsule."""
        self.check_fit(subject.net)
        if self.pixels not in CHAINS:
            raise ConvAtlasError(f"agreement goes to the pixels by {', '.join(CHAINS)}; got {self.pixels!r:.40}")
        tape = subject.tape_of(subject.x) if self.pixels == "none" else subject.tape
        shares = agreements(subject, tape)
        findings = []
        for k in range(len(subject.targets)):
            label = class_of(subject, k, self.name)
            values, length = shares.values[..., label], float(shares.lengths[label])
            notes = (
                f"the shares sum to |s| = {length:.4g}; the capsule's length is {length**2 / (1 + length**2):.4g}",
            )
            residual = check_residual(float(values.double().sum()), length, values.dtype, self.name)
            finding = Finding(values, shares.children.layer, residual=residual, notes=notes)
            findings.append(finding if self.pixels == "none" else self._on_pixels(subject, shares, label, notes))
            yield k, len(subject.targets), None
        yield 1, 1, findings

    def _on_pixels(self, subject: Subject, shares: Agreements, label: int, notes: tuple[str, ...]) -> Finding:
        """Carry the shares of one class to the pixels."""
        assert isinstance(subject.net, CapsNet)
        # A share is the child times this multiplier, c_ij W_ijᵀ s_j / |s_j|.
        weight = subject.net.poses.votes.weight.detach()[:, label]  # (children, size of a parent, size of a child)
        multiplier = torch.einsum(
            "i,d,idc->ic", shares.couplings[..., label].flatten(), shares.directions[label], weight
        )
        below = replace(subject.tape, output=shares.children.index)
        subject.backwards += 1
        if self.pixels == "gradient_x_input":
            gradient = backward(below, [below.photo], start=multiplier[None])[below.photo]
            return Finding((subject.x * gradient)[0], notes=notes)
        rules = Relevance(below, Lrp().chooser(subject))
        carried = backward(below, [below.photo], rules.rule, rules.visit, multiplier[None])[below.photo]
        relevance: Tensor = subject.x * carried
        if below.photo in rules.extra:
            relevance = relevance + rules.extra[below.photo]
        length = float(shares.lengths[label])
        ledger = rules.ledger
        return Finding(
            relevance[0],
            residual=check_residual(float(relevance.double().sum()) + ledger.total, length, relevance.dtype, self.name),
            ledger=ledger.parts(),
            condition=check_condition(rules.largest, length, self.name),
            coverage=dict(rules.counts),
            notes=notes,
        )


PROBE = Agreement

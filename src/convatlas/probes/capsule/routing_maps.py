"""Routing maps: how much of each child capsule goes to a class."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.capsule._capsules import Children, children_of, class_of, needs_capsules, rounds
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject

SHOWN = ("couplings", "entropy")
"""What a map can show."""


@dataclass(frozen=True)
class RoutingMaps(Probe):
    """Coupling coefficients of the children of the class capsules, in one round of routing, on the children's grid.

    Attributes:
        round: Number of the round, from 1, or from the end if negative; by default the last one.
        quantity: "couplings" with the class of the target, or their "entropy" over all classes, in nats.
    """

    round: int = -1
    quantity: str = "couplings"

    title = "Routing maps"
    source = (
        'Sabour et al. 2017, "Dynamic routing between capsules"; Hinton et al. 2018, "Matrix capsules with EM routing"'
    )
    formula = "c_ij of each child i for the class j, with Σ_j c_ij = 1; or −Σ_j c_ij log c_ij"
    shows = "Which children are routed to the class, and (entropy) which could not be decided."
    hides = (
        "Whether a child is there at all: one of no length has couplings too, near 1 / classes. Routing is not known "
        "to make nets better (Gu & Tresp 2020)."
    )
    cost = "1 forward"
    needs = "gradients"

    def unfit(self, net: nn.Module) -> str | None:
        """Say what keeps the probe from a net."""
        return needs_capsules(net, self.name, "grad_cam")

    def attribute(self, subject: Subject) -> Findings:
        """Read the couplings of the round."""
        self.check_fit(subject.net)
        if self.quantity not in SHOWN:
            raise ConvAtlasError(f"routing maps show couplings or entropy; got {self.quantity!r:.40}")
        tape = subject.tape_of(subject.x)
        history, _ = rounds(subject.net, tape)
        children = children_of(subject, tape)
        count = len(history)
        if not isinstance(self.round, int) or self.round == 0 or abs(self.round) > count:
            raise ConvAtlasError(
                f"rounds of routing have numbers from 1 to {count}, or from the end; got {self.round!r:.40}"
            )
        maps = [placed(each.couplings, children) for each in history]
        entropies = [float(entropy(each).mean()) for each in maps]
        chosen = maps[self.round - 1 if self.round > 0 else self.round]
        trajectory = ", ".join(f"{each:.3f}" for each in entropies)
        notes = (f"mean entropy by round {trajectory} nats, of at most {math.log(chosen.shape[-1]):.3f}",)
        findings = []
        for k in range(len(subject.targets)):
            values = entropy(chosen) if self.quantity == "entropy" else chosen[..., class_of(subject, k, self.name)]
            findings.append(Finding(values, children.layer, notes=notes))
        yield 1, 1, findings


def placed(couplings: Tensor, children: Children) -> Tensor:
    """Couplings of one photo on the children's grid, (types, h, w, classes)."""
    types, height, width = children.grid
    if children.matrices:  # (1, 1, h w, types, classes)
        return couplings[0, 0].movedim(0, 1).reshape(types, height, width, -1)
    return couplings.reshape(types, height, width, -1)


def entropy(couplings: Tensor) -> Tensor:
    """Entropy of couplings (..., classes) in nats, (...)."""
    return -(couplings * couplings.clamp(min=1e-300 if couplings.dtype.itemsize == 8 else 1e-38).log()).sum(-1)


PROBE = RoutingMaps

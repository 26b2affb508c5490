"""Capsule ablation: what a score loses without each child capsule."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.capsule._capsules import children_of, needs_capsules
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tail import tail_scores

UNITS = ("capsule", "place")
"""What is left out at a time."""


@dataclass(frozen=True)
class CapsuleAblation(Probe):
    """What the score loses when child capsules are set to 0, one after the other; only what follows them runs again.

    Attributes:
        unit: "capsule": each by itself. "place": all types at a place of the grid together.
    """

    unit: str = "capsule"

    title = "Capsule ablation"
    source = (
        'after Tawalbeh & Oramas 2023, "Towards the characterization of representations learned via capsule-based '
        'network architectures"'
    )
    formula = "f(u) − f(u with u_i = 0) for each child i"
    shows = "Which children the score needs, with routing done again without them."
    hides = "Children that stand in for each other; the losses of several do not add up to that of all together."
    cost = "1 forward, then the routing once a child"
    needs = "gradients"
    spatial = True

    def unfit(self, net: nn.Module) -> str | None:
        """Say what keeps the probe from a net."""
        return needs_capsules(net, self.name, "ablation_cam")

    def attribute(self, subject: Subject) -> Findings:
        """Leave out one unit after the other."""
        self.check_fit(subject.net)
        if self.unit not in UNITS:
            raise ConvAtlasError(f"what is left out is a capsule or a place; got {self.unit!r:.40}")
        tape = subject.tape
        children = children_of(subject, tape)
        types, height, width = children.grid
        count = (types if self.unit == "capsule" else 1) * height * width

        def without(start: int, stop: int) -> Tensor:
            keep = torch.ones(stop - start, count, dtype=torch.bool, device=children.values.device)
            keep[torch.arange(stop - start), torch.arange(start, stop)] = False
            keep = keep.view(stop - start, -1, height, width, 1)
            return children.packed(torch.where(keep, children.values, 0))

        losses = []
        for _, stop, scores in tail_scores(tape, children.index, count, without, subject.memory):
            losses.append(tape.values[tape.output].double().cpu() - scores)
            yield stop, count, None
        maps = torch.cat(losses).T.reshape(len(subject.targets), -1, height, width)
        yield 1, 1, [Finding(each, children.layer) for each in maps]


PROBE = CapsuleAblation

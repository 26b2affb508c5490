"""Concept relevance propagation: the relevance that flows through chosen channels of a layer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convatlas.probes.certificate import check_condition
from convatlas.probes.checks import check_whole
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.relevance.lrp import Lrp
from convatlas.probes.rules.relevance import Relevance
from convatlas.probes.subject import Subject
from convatlas.probes.tape.backward import backward


@dataclass(frozen=True)
class ConceptRelevance(Probe):
    """LRP that passes a layer by some of its channels only: where in the photo lies what they stand for.

    Attributes:
        channel: Number of the channel; None for the most relevant one.
        composite: Rules, as those of `lrp`.
    """

    channel: int | None = None
    composite: str = "epsilon_plus"

    title = "Concept relevance propagation (CRP)"
    source = (
        'Achtibat et al. 2023, "From attribution maps to human-understandable explanations through concept relevance '
        'propagation"'
    )
    formula = "R(x | channel of a layer): LRP from the channel's relevance at the layer, without ways past it"
    shows = "Where the photo holds what one channel contributes to the score."
    hides = "What the channel stands for: its most relevant patches tell that better."
    cost = "1 forward, 2 ways back"
    needs = "relevance"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Find the channel, and carry its relevance on."""
        tape, (name, index) = subject.tape, subject.place
        settings = Lrp(self.composite)
        choose = settings.chooser(subject)
        channels = tape.values[index].shape[1]
        if self.channel is not None:
            check_whole(f"channel of {name}", self.channel, 0, channels - 1)
        findings = []
        for k in range(len(subject.targets)):
            rules = Relevance(tape, choose)
            unit = rules.unit(index)
            multiplier = subject.back(tape, [unit], k, rules.rule, rules.visit)[unit]
            shares = (tape.values[unit] * multiplier)[0].sum((1, 2))
            channel = int(shares.argmax()) if self.channel is None else self.channel
            kept = torch.zeros_like(multiplier)
            kept[:, channel] = multiplier[:, channel]
            below = Relevance(replace(tape, output=unit), choose)
            values = _below(below, kept)
            subject.backwards += 1
            score = float(tape.values[tape.output][0, k])
            condition = check_condition(max(rules.largest, below.largest), score, self.name)
            note = f"channel {channel} of {name}, whose relevance is {float(shares[channel]):.4g}"
            coverage = dict(rules.counts + below.counts)
            findings.append(Finding(values, condition=condition, notes=(note,), coverage=coverage))
            yield k, len(subject.targets), None
        yield 1, 1, findings


def _below(rules: Relevance, multiplier: Tensor) -> Tensor:
    """Relevance at the photo, (C, h, w), of what a layer passes, which is the output of the tape; none goes past it."""
    tape = rules.tape

    def visit(index: int, arriving: Tensor) -> Tensor:
        # What arrives at the layer has been stabilised there.
        return arriving if index == tape.output else rules.visit(index, arriving)

    relevance = tape.values[tape.photo] * backward(tape, [tape.photo], rules.rule, visit, multiplier)[tape.photo]
    return (relevance + rules.extra.get(tape.photo, torch.zeros_like(relevance)))[0]


PROBE = ConceptRelevance

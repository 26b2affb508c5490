"""Concept relevance propagation: the relevance that flows through chosen channels of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.certificate import check_condition
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.relevance.lrp import Lrp
from convatlas.probes.rules.relevance import Relevance
from convatlas.probes.subject import Subject


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
    formula = "R(x | channel of a layer): LRP with all other channels' relevance set to 0 at the layer"
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
        if self.channel is not None and not 0 <= self.channel < channels:
            raise ConvAtlasError(f"{name} has channels 0 to {channels - 1}; got {self.channel}")
        findings = []
        for k in range(len(subject.targets)):
            rules = Relevance(tape, choose)
            multiplier = subject.back(tape, [index], k, rules.rule, rules.visit)[index]
            shares = (tape.values[index] * multiplier)[0].sum((1, 2))
            channel = int(shares.argmax()) if self.channel is None else self.channel
            condition = check_condition(rules.largest, float(tape.values[tape.output][0, k]), self.name)
            values = self._through(subject, k, index, channel, choose)
            note = f"channel {channel} of {name}, whose relevance is {float(shares[channel]):.4g}"
            findings.append(Finding(values, condition=condition, notes=(note,), coverage=dict(rules.counts)))
            yield k, len(subject.targets), None
        yield 1, 1, findings

    def _through(self, subject: Subject, target: int, index: int, channel: int, choose: object) -> Tensor:
        tape = subject.tape
        rules = Relevance(tape, choose)  # type: ignore[arg-type]

        def visit(at: int, multiplier: Tensor) -> Tensor:
            multiplier = rules.visit(at, multiplier)
            if at != index:
                return multiplier
            kept = torch.zeros_like(multiplier)
            kept[:, channel] = multiplier[:, channel]
            return kept

        relevance = subject.x * subject.back(tape, [tape.photo], target, rules.rule, visit)[tape.photo]
        return (relevance + rules.extra.get(tape.photo, torch.zeros_like(relevance)))[0]


PROBE = ConceptRelevance

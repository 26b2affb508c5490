"""Excitation backprop."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.certificate import check_condition
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.rules.layer_rules import Excitation, LayerRule
from convatlas.probes.rules.relevance import Relevance
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tape import Operation


@dataclass(frozen=True)
class ExcitationBackprop(Probe):
    """The probability that a walk from the class down the net, by excitatory connections, ends at a place.

    Attributes:
        contrastive: Whether a second walk, for which the last layer's weights have turned signs, is subtracted.
    """

    contrastive: bool = False

    title = "Excitation backprop"
    source = 'Zhang et al. 2016, "Top-down neural attention by excitation backprop"'
    formula = "P(i) = Σ_j x_i w⁺_ij / Σ_k x_k w⁺_kj · P(j), from P(class) = 1"
    shows = "Where the layer excites the class; with the contrastive form, more than it excites all else."
    hides = (
        "Inhibition. Like all z⁺ rules it hardly depends on later layers (Sixt et al. 2020), the contrastive form "
        "excepted."
    )
    cost = "1 forward, 1 way back (contrastive: 2), 1 more pass of each layer"
    needs = "relevance"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Walk down to the chosen layer."""
        name, _ = subject.place
        findings = []
        for k in range(len(subject.targets)):
            values, condition = self._walk(subject, k, negated=False)
            if self.contrastive:
                inhibited, other = self._walk(subject, k, negated=True)
                values, condition = values - inhibited, max(condition, other)
            findings.append(Finding(values[0].sum(0), name, condition=condition))
            yield k, len(subject.targets), None
        yield 1, 1, findings

    def _walk(self, subject: Subject, target: int, negated: bool) -> tuple[Tensor, float]:
        """Return what arrives at the layer, and the condition number."""
        tape, (_, index) = subject.tape, subject.place
        score = float(tape.values[tape.output][0, target])
        if score == 0:
            raise ConvAtlasError("the score is 0, from which nothing can be shared: use saliency, or another target")
        rules: Relevance | None = None

        def choose(number: int, operation: Operation) -> LayerRule:
            assert rules is not None
            return Excitation(negated=negated and number == len(rules.numbers) - 1)

        rules = Relevance(tape, choose, 0.0, "signal")
        index = rules.unit(index)
        # The walk starts with probability 1: all multipliers are those of the score, divided by it.
        multiplier = subject.back(tape, [index], target, rules.rule, rules.visit)[index]
        return tape.values[index] * multiplier / score, check_condition(rules.largest, score, self.name)


PROBE = ExcitationBackprop

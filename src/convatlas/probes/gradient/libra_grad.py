"""LibraGrad: gradient × input with gates taken as constant."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.probes.certificate import check_residual
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.rules.relevance import Relevance, zero_everywhere
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class LibraGrad(Probe):
    """Gradient × input with all gates held constant, so that map and biases sum to the score.

    Gates are those of SiLU and GELU, of squeeze-and-excitation, of attention, and the deviations of normalizations.
    """

    title = "LibraGrad"
    source = (
        'Mehri et al. 2025, "LibraGrad: balancing gradient flow for universally better vision transformer attributions"'
    )
    formula = "x · ∂f/∂x with gates constant; Σ + biases = f(x)"
    shows = "How much of the score each pixel contributed through what the gates let pass."
    hides = "What opened the gates; and what biases contributed, which the ledger says."
    cost = "1 forward, 1 way back"
    needs = "relevance"

    def attribute(self, subject: Subject) -> Findings:
        """Carry gradients back with gates held."""
        tape, findings = subject.tape, []
        for k in range(len(subject.targets)):
            rules = Relevance(tape, zero_everywhere, 0.0, "signal")
            values = subject.x * subject.back(tape, [tape.photo], k, rules.rule, rules.visit)[tape.photo]
            score = float(tape.values[tape.output][0, k])
            residual = check_residual(float(values.double().sum()) + rules.ledger.total, score, values.dtype, self.name)
            findings.append(
                Finding(values[0], residual=residual, ledger=rules.ledger.parts(), coverage=dict(rules.counts))
            )
            yield k, len(subject.targets), None
        yield 1, 1, findings


PROBE = LibraGrad

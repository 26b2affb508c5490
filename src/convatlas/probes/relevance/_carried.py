"""Relevance carried back to the pixels, as the probes of this family share it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from convatlas.probes.certificate import check_condition, check_residual
from convatlas.probes.probe import Finding
from convatlas.probes.rules.layer_rules import LayerRule
from convatlas.probes.rules.relevance import Relevance
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tape import Operation, Tape

Choose = Callable[[int, Operation], LayerRule]

FAINT = 0.01
"""Share of the score below which what arrived at the pixels is no explanation of it, as a note says then."""


def carried(
    subject: Subject, tape: Tape, column: int, choose: Choose, epsilon: float, products: str, probe: str
) -> Finding:
    """Relevance of one score of a tape at the pixels, certified to sum to the score with its ledger.

    Args:
        subject: The subject.
        tape: A tape of its photo.
        column: Which of the tape's scores.
        choose: The rule for each layer with weights.
        epsilon: ε of the stabiliser.
        products: "uniform" or "signal".
        probe: Name of the probe, for messages.

    Raises:
        ConvAtlasError: An operation has no rule, the sum is not the score, or the map is ill-conditioned.
    """
    rules = Relevance(tape, choose, epsilon, products)
    multiplier = subject.back(tape, [tape.photo], column, rules.rule, rules.visit)[tape.photo]
    relevance: Tensor = subject.x * multiplier
    if tape.photo in rules.extra:
        relevance = relevance + rules.extra[tape.photo]
    score = float(tape.values[tape.output][0, column])
    total = float(relevance.double().sum()) + rules.ledger.total
    condition = check_condition(rules.largest, score, probe)
    arrived = float(relevance.double().abs().sum()) / abs(score) if score else 1.0
    notes = [] if arrived >= FAINT else [f"only {arrived:.2%} of the score arrived at the pixels: see the ledger"]
    kept = abs(rules.ledger.constants / score) if score else 0.0
    if kept >= FAINT:
        notes.append(f"{' and '.join(sorted(rules.constants))} are taken as constant, and keep {kept:.0%} of the score")
    return Finding(
        relevance[0],
        residual=check_residual(total, score, relevance.dtype, probe),
        ledger=rules.ledger.parts(),
        condition=condition,
        coverage=dict(rules.counts),
        notes=tuple(notes),
    )

"""DeepLIFT: the difference to a background, shared among the pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from convatlas.base.errors import ConvAtlasError, unknown
from convatlas.probes.certificate import check_condition, check_residual
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.rules.contribution import sum_of_contributions
from convatlas.probes.rules.kinds import ELEMENTWISE, is_affine
from convatlas.probes.rules.reveal_cancel import RevealCancel
from convatlas.probes.rules.secants import secant
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tape import Operation, Tape

RULES = ("rescale", "reveal_cancel")


@dataclass(frozen=True)
class DeepLift(Probe):
    """The difference of the score to that of a background, shared among the pixels.

    Functions of one number follow the rule; products go half-way between both runs, softmax and normalizations by exact
    secants, max pooling by the cross-maximum, so that the map always sums to the difference.

    Attributes:
        rule: "rescale", or "reveal_cancel", which follows positive and negative contributions apart.
    """

    rule: str = "rescale"

    title = "DeepLIFT"
    source = 'Shrikumar et al. 2017, "Learning important features through propagating activation differences"'
    formula = "Σ_i C_i = f(x) − f(b), with multipliers Δy/Δx for each operation"
    shows = "How much of the difference to the background each pixel contributed."
    hides = "What both photo and background have in common; another background gives another map."
    cost = "2 forwards, 1 way back"
    needs = "relevance"
    rules = "secants"

    def attribute(self, subject: Subject) -> Findings:
        """Carry multipliers from each target back to the pixels."""
        if self.rule not in RULES:
            raise unknown("rule of DeepLIFT", self.rule, RULES)
        background = subject.background_tape
        findings = []
        for k in range(len(subject.targets)):
            findings.append(difference_shared(subject, subject.tape, background, k, self.rule, self.name))
            yield k, len(subject.targets), None
        _ = subject.background_scores
        yield 1, 1, findings


def difference_shared(subject: Subject, photo: Tape, background: Tape, target: int, rule: str, probe: str) -> Finding:
    """Contributions of the pixels to the difference of one target's score, certified to sum to it.

    Raises:
        ConvAtlasError: The net runs other operations for the background, an operation has no rule, or the sum is wrong.
    """
    check_same_way(photo, background)
    counts: Counter[str] = Counter()
    largest = 0.0
    reveal = RevealCancel(photo, background) if rule == "reveal_cancel" else None
    summed = _summed(photo)

    def visit(index: int, multiplier: Tensor) -> Tensor:
        nonlocal largest
        if index in summed:
            difference = photo.values[index] - background.values[index]
            largest = max(largest, sum_of_contributions(difference, multiplier))
        return multiplier

    def step(tape: Tape, operation: Operation, gradients: Sequence[Tensor | None]) -> dict[int, Tensor]:
        counts[operation.name] += 1
        if reveal is not None:
            return reveal(tape, operation, gradients)
        return secant(tape, background, operation, gradients)

    multiplier = subject.back(photo, [photo.photo], target, step, visit)[photo.photo]
    values = (photo.values[photo.photo] - background.values[background.photo]) * multiplier
    score, other = (float(tape.values[tape.output][0, target]) for tape in (photo, background))
    # Where parts cancel by orders of magnitude, the sum is off too: the cause is said, not the symptom.
    condition = check_condition(largest, score - other, probe)
    residual = check_residual(float(values.double().sum()) + other, score, values.dtype, probe, abs(other))
    return Finding(values[0], residual=residual, condition=condition, coverage=dict(counts))


def _summed(tape: Tape) -> set[int]:
    """The tensors whose contributions are added up, which are those of any other too.

    A tensor that only a function of each number reads contributes, number by number, what the function's result does.
    """
    alone = {
        index
        for index, readers in tape.readers().items()
        if len(readers) == 1 and tape.depends[index] and _is_elementwise(tape, readers[0])
    }
    return {index for index, depends in enumerate(tape.depends) if depends} - alone


def _is_elementwise(tape: Tape, operation: Operation) -> bool:
    if len([index for index in operation.inputs if tape.depends[index]]) != 1:
        return False
    return operation.name in ELEMENTWISE or (operation.name == "native_batch_norm" and is_affine(tape, operation))


def check_same_way(photo: Tape, background: Tape) -> None:
    """Refuse a net that runs other operations for the background than for the photo.

    Raises:
        ConvAtlasError: It does.
    """
    names = [[operation.name for operation in tape.operations] for tape in (photo, background)]
    if names[0] != names[1] or any(
        first.shape != second.shape for first, second in zip(photo.values, background.values, strict=False)
    ):
        raise ConvAtlasError(
            "the net runs other operations for the background than for the photo: choose another background, or use "
            "integrated_gradients"
        )


PROBE = DeepLift

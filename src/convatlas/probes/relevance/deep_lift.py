"""DeepLIFT: the difference to a background, shared among the pixels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.certificate import check_condition, check_residual
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.rules.secants import secant
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tape import Tape


@dataclass(frozen=True)
class DeepLift(Probe):
    """The difference of the score to that of a background, shared among the pixels by the rescale rule.

    Products go half-way between both runs, softmax and normalizations by exact secants, max pooling by the
    cross-maximum, so that the map always sums to the difference.
    """

    title = "DeepLIFT (rescale)"
    source = 'Shrikumar et al. 2017, "Learning important features through propagating activation differences"'
    formula = "Σ_i C_i = f(x) − f(b), with multipliers Δy/Δx for each operation"
    shows = "How much of the difference to the background each pixel contributed."
    hides = "What both photo and background have in common; another background gives another map."
    cost = "2 forwards, 1 way back"
    needs = "relevance"

    def attribute(self, subject: Subject) -> Findings:
        """Carry multipliers from each target back to the pixels."""
        photo = subject.tape
        background = subject.tape_of(subject.background)
        check_same_way(photo, background)
        findings = []
        for k in range(len(subject.targets)):
            multiplier, largest, coverage = multipliers(subject, photo, background, k)
            values = (subject.x - subject.background) * multiplier
            scores = [float(tape.values[tape.output][0, k]) for tape in (photo, background)]
            residual = check_residual(
                float(values.double().sum()) + scores[1], scores[0], values.dtype, self.name, abs(scores[1])
            )
            condition = check_condition(largest, scores[0] - scores[1], self.name)
            findings.append(Finding(values[0], residual=residual, condition=condition, coverage=coverage))
            yield k, len(subject.targets), None
        _ = subject.background_scores
        yield 1, 1, findings


def multipliers(subject: Subject, photo: Tape, background: Tape, target: int) -> tuple[Tensor, float, dict[str, int]]:
    """Multipliers at the photo, the largest sum of |contributions| on the way, and the operations passed."""
    counts: Counter[str] = Counter()
    largest = 0.0

    def visit(index: int, multiplier: Tensor) -> Tensor:
        nonlocal largest
        difference = photo.values[index] - background.values[index]
        largest = max(largest, float((difference * multiplier).abs().sum()))
        return multiplier

    def rule(tape: Tape, operation: object, gradients: object) -> dict[int, Tensor]:
        counts[operation.name] += 1  # type: ignore[attr-defined]
        return secant(tape, background, operation, gradients)  # type: ignore[arg-type]

    carried = subject.back(photo, [photo.photo], target, rule, visit)
    return carried[photo.photo], largest, dict(counts)


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

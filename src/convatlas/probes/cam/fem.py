"""FEM: Feature Explanation Method."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.probes.checks import check_number
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class Fem(Probe):
    """Rare, strong activations of a layer, whatever the target.

    Attributes:
        deviations: How many standard deviations above its mean a place counts.
    """

    deviations: float = 2.0

    title = "FEM"
    source = 'Fuad et al. 2020, "Features understanding in 3D CNNs for actions recognition in video"'
    formula = "Σ_k mean(A_k) · [A_k > mean(A_k) + deviations · std(A_k)]"
    shows = "Where many channels are unusually strong."
    hides = "The class: the target is not asked for."
    cost = "1 forward"
    needs = "gradients"
    spatial = True

    def attribute(self, subject: Subject) -> Findings:
        """Count the strong places of the chosen layer."""
        check_number("deviations", self.deviations, 0, 100)
        name, index = subject.place
        maps = subject.tape.values[index][0]
        mean, deviation = maps.mean((1, 2), keepdim=True), maps.std((1, 2), keepdim=True, correction=0)
        values = (mean * (maps > mean + self.deviations * deviation)).sum(0)
        # Of n numbers none lies further above their mean.
        furthest = (maps[0].numel() - 1) ** 0.5
        few = f"none of {maps[0].numel()} places lies more than {furthest:.3g} deviations above the mean: ask for fewer"
        notes = (few,) if furthest <= self.deviations else ()
        yield 1, 1, [Finding(values, name, notes=notes) for _ in subject.targets]


PROBE = Fem

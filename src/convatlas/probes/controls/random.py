"""Random: noise that knows neither photo nor net."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.probes.checks import check_whole
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class Random(Probe):
    """Standard normal noise, settled by the seed and the size of the input alone.

    Attributes:
        cells: Cells along each side, for noise as coarse as the maps it is held against; by default every pixel.
    """

    cells: int | None = None

    title = "Random"
    source = 'As a control: Hooker et al. 2019, "A benchmark for interpretability methods in deep neural networks"'
    formula = "independent standard normal numbers"
    shows = "What a judge gives to chance."
    hides = "The photo and the net: neither is asked."
    cost = "nothing"
    needs = "nothing"

    def attribute(self, subject: Subject) -> Findings:
        """Draw a map for each target."""
        if self.cells is not None:
            check_whole("cells", self.cells, 1, min(subject.size))
        shape = subject.size if self.cells is None else (self.cells, self.cells)
        generator = subject.generator()
        yield 1, 1, [Finding(torch.randn(shape, generator=generator, dtype=torch.float64)) for _ in subject.targets]


PROBE = Random

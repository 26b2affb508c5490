"""Deep Taylor decomposition."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.probes.probe import Findings, Probe
from convatlas.probes.relevance.lrp import Lrp
from convatlas.probes.subject import Subject


@dataclass(frozen=True)
class DeepTaylor(Probe):
    """The score, expanded at a root point of each layer: the z⁺ rule, and z^B at the pixels."""

    title = "Deep Taylor decomposition"
    source = 'Montavon et al. 2017, "Explaining nonlinear classification decisions with deep Taylor decomposition"'
    formula = "R_i = Σ_j z⁺_ij / z⁺_j · R_j; at the pixels (x_i w_ij − l_i w⁺_ij − h_i w⁻_ij) / Σ"
    shows = "Where evidence for the score lies; never anything negative for a positive score."
    hides = "Evidence against; and its maps converge to ones that hardly depend on later layers (Sixt et al. 2020)."
    cost = "1 forward, 1 way back, 1 or 2 more passes of each layer"
    needs = "relevance"

    def attribute(self, subject: Subject) -> Findings:
        """Run LRP with these rules."""
        yield from Lrp(composite="z_plus_box").shared(subject, self.name)


PROBE = DeepTaylor

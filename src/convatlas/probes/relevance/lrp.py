"""Layer-wise relevance propagation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convatlas.base.errors import unknown
from convatlas.probes.checks import check_choice, check_number
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.relevance._carried import Choose, carried
from convatlas.probes.rules.layer_rules import AlphaBeta, Box, Flat, Gamma, LayerRule, WeightSquare, Zero
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tape import Operation

RULES = ("epsilon", "gamma", "alpha_beta", "z_plus", "z_box", "w_square", "flat")

COMPOSITES = {
    "epsilon": ("epsilon", "epsilon", None),
    "epsilon_plus": ("z_plus", "epsilon", None),
    "epsilon_plus_flat": ("z_plus", "epsilon", "flat"),
    "epsilon_gamma_box": ("gamma", "epsilon", "z_box"),
    "epsilon_alpha_beta": ("alpha_beta", "epsilon", None),
    "epsilon_alpha_beta_flat": ("alpha_beta", "epsilon", "flat"),
    "gamma": ("gamma", "gamma", None),
    "alpha_beta": ("alpha_beta", "alpha_beta", None),
    "z_plus": ("z_plus", "z_plus", None),
    "z_plus_box": ("z_plus", "z_plus", "z_box"),
}
"""Rules for convolutions, for dense layers, and for the first layer if it has one of its own."""


@dataclass(frozen=True)
class Lrp(Probe):
    """The score, shared among the pixels operation by operation.

    Attributes:
        composite: Which rule for which layers, see `COMPOSITES`.
        epsilon: ε of the stabiliser, which acts at the end of each chain of affine operations.
        gamma: γ of LRP-γ.
        alpha: α of LRP-αβ; β is α − 1.
        biases: Whether biases take part in the rules with signs; they keep their share then, in deep nets nearly all.
        products: "uniform": two factors share half each (AttnLRP); "signal": a gate gets nothing.
    """

    composite: str = "epsilon_plus"
    epsilon: float = 1e-6
    gamma: float = 0.25
    alpha: float = 2.0
    biases: bool = False
    products: str = "uniform"

    title = "Layer-wise relevance propagation"
    source = (
        'Bach et al. 2015, "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance '
        'propagation"'
    )
    formula = "R_i = Σ_j z_ij / z_j · R_j for each operation, by the rule of its kind; Σ R + ledger = f(x)"
    shows = "How much of the score each pixel contributed, positive or negative."
    hides = (
        "What biases contributed, which the ledger says. z⁺ and αβ rules converge to maps that hardly depend on later "
        "layers (Sixt et al. 2020)."
    )
    cost = "1 forward, 1 way back; rules with signs need 1 or 2 more passes of each layer"
    needs = "relevance"

    def attribute(self, subject: Subject) -> Findings:
        """Carry the relevance of each target back to the pixels."""
        yield from self.shared(subject, self.name)

    def shared(self, subject: Subject, probe: str) -> Findings:
        """Share each score among the pixels, for a probe of another name too, which errors name."""
        choose = self.chooser(subject)
        findings = []
        for k in range(len(subject.targets)):
            findings.append(carried(subject, subject.tape, k, choose, self.epsilon, self.products, probe))
            yield k, len(subject.targets), None
        yield 1, 1, findings

    def chooser(self, subject: Subject) -> Choose:
        """Return the rule for each layer with weights.

        Raises:
            ConvAtlasError: A setting is out of range.
        """
        if self.composite not in COMPOSITES:
            raise unknown("composite of LRP", self.composite, COMPOSITES)
        check_choice("products", self.products, ("uniform", "signal"))
        check_number("epsilon", self.epsilon)
        check_number("gamma", self.gamma)
        check_number("alpha", self.alpha, 1)
        convolution, dense, first = COMPOSITES[self.composite]
        made = {name: self._rule(name, subject) for name in (convolution, dense, first) if name is not None}

        def choose(number: int, operation: Operation) -> LayerRule:
            if number == 0 and first is not None:
                return made[first]
            return made[convolution if operation.name == "convolution" else dense]

        return choose

    def _rule(self, name: str, subject: Subject) -> LayerRule:
        if name == "gamma":
            return Gamma(self.gamma)
        if name in ("alpha_beta", "z_plus"):
            return AlphaBeta(self.alpha if name == "alpha_beta" else 1.0, self.biases)
        if name == "z_box":
            # The smallest and largest input of each channel that any photo can have are not known for foreign nets.
            low = torch.minimum(subject.x, subject.background).amin((2, 3), keepdim=True)
            high = torch.maximum(subject.x, subject.background).amax((2, 3), keepdim=True)
            return Box(low.clamp(max=0), high.clamp(min=0))
        return {"flat": Flat(), "w_square": WeightSquare()}.get(name, Zero())


PROBE = Lrp

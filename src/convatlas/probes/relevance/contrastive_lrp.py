"""Contrastive LRP: relevance for a class against relevance for all others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.probes.probe import Findings, Probe
from convatlas.probes.relevance._carried import carried
from convatlas.probes.relevance.lrp import Lrp
from convatlas.probes.subject import Subject
from convatlas.probes.tape.record import record
from convatlas.probes.targets import Scores


@dataclass(frozen=True)
class ContrastiveLrp(Probe):
    """Relevance of a class minus that of the mean of all other classes, scaled to the same sum.

    Attributes:
        composite: Rules, as those of `lrp`.
    """

    composite: str = "epsilon_plus"

    title = "Contrastive LRP"
    source = 'Gu et al. 2018, "Understanding individual decisions of CNNs via contrastive backpropagation"'
    formula = "R_c − R_others · Σ R_c / Σ R_others"
    shows = "What speaks for this class rather than for the others."
    hides = "What speaks for several classes alike."
    cost = "2 forwards, 2 ways back"
    needs = "relevance"

    def attribute(self, subject: Subject) -> Findings:
        """Carry both relevances back and subtract."""
        settings = Lrp(self.composite)
        choose = settings.chooser(subject)
        _ = subject.tape
        findings = []
        for k, target in enumerate(subject.targets):
            if target.index is None:
                raise ConvAtlasError("contrastive LRP is about a class: pass its number or name as target")
            index, scores = target.index, target.class_scores(subject.net, subject.size)

            def both(output: Any, index: int = index, scores: Scores = scores, k: int = k) -> Tensor:
                each = scores(output)
                if each.shape[1] == 1:
                    raise ConvAtlasError("the net has a single output, which cannot be held against others: use lrp")
                rest = torch.cat([each[:, :index], each[:, index + 1 :]], 1)
                return torch.stack([subject.targets[k](output), rest.mean(1)], 1)

            tape = record(subject.net, subject.x, both)
            subject.forwards += 1
            own, others = (carried(subject, tape, column, choose, 1e-6, "uniform", self.name) for column in (0, 1))
            total = others.values.sum()
            if float(total) == 0:
                raise ConvAtlasError("the other classes have no relevance to hold this one against: use lrp")
            values = own.values - others.values * (own.values.sum() / total)
            notes = ("the sum is 0 by construction",)
            findings.append(replace(own, values=values, ledger={}, notes=notes))
            yield k, len(subject.targets), None
        yield 1, 1, findings


PROBE = ContrastiveLrp

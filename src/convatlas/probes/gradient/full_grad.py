"""FullGrad: the gradient at the input, and the biases of all operations at their places."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from convatlas.probes.certificate import check_residual
from convatlas.probes.probe import Finding, Findings, Probe
from convatlas.probes.rules.implicit_biases import ImplicitBiases
from convatlas.probes.subject import Subject
from convatlas.probes.tape.tape import Operation


@dataclass(frozen=True)
class FullGrad(Probe):
    """Gradient × input, plus what every operation adds to the score by its (implicit) bias, where it adds it.

    Biases of maps are enlarged to the photo so that their sum stays; those of vectors have no place and stand in the
    ledger. The map and the ledger sum to the score, for smooth activations too.

    Attributes:
        absolute: Whether absolute values of all maps are added, as in the paper's pictures; they sum to nothing.
    """

    absolute: bool = False

    title = "FullGrad"
    source = 'Srinivas & Fleuret 2019, "Full-gradient representation for neural network visualization"'
    formula = "f(x) = Σ x·∂f/∂x + Σ over operations of (y − J x)·∂f/∂y, each at its place"
    shows = "Where the score comes from, the biases of the net included."
    hides = "Which of the pixels under a coarse map its bias is due to."
    cost = "1 forward, 1 backward, 1 forward derivative of each nonlinear operation"
    needs = "gradients"

    def attribute(self, subject: Subject) -> Findings:
        """Collect the biases on the way back."""
        tape, findings = subject.tape, []
        for k in range(len(subject.targets)):
            total = torch.zeros(subject.size, dtype=subject.x.dtype, device=subject.x.device)
            nowhere = 0.0

            def report(operation: Operation, bias: Tensor) -> None:
                nonlocal total, nowhere
                output = operation.outputs[0]
                shape = tape.values[output].shape if output is not None else bias.shape
                if len(shape) == 4 and len(bias.shape) == 4 and shape[2] * shape[3] > 1:
                    whole = bias.expand(shape)
                    each = (whole.abs() if self.absolute else whole)[0].sum(0)
                    total = total + _spread(each, subject.size)
                else:
                    nowhere += float(bias.sum())

            gradient = subject.back(tape, [tape.photo], k, ImplicitBiases(report))[tape.photo]
            product = (subject.x * gradient)[0]
            values = total + (product.abs() if self.absolute else product).sum(0)
            score = float(tape.values[tape.output][0, k])
            if self.absolute:
                findings.append(Finding(values))
                continue
            residual = check_residual(float(values.double().sum()) + nowhere, score, values.dtype, self.name)
            findings.append(Finding(values, residual=residual, ledger={"biases without a place": nowhere}))
            yield k, len(subject.targets), None
        yield 1, 1, findings


def _spread(values: Tensor, size: tuple[int, int]) -> Tensor:
    """A map enlarged to a size so that its sum stays."""
    enlarged = interpolate(values[None, None], size, mode="bilinear" if min(size) >= min(values.shape) else "area")[
        0, 0
    ]
    # Linear interpolation keeps the sum but for the borders; what they gain or lose is spread evenly.
    enlarged = enlarged * (values.numel() / enlarged.numel())
    return enlarged + (values.sum() - enlarged.sum()) / enlarged.numel()


PROBE = FullGrad

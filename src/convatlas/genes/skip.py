"""The skip connection: whether a block's input is added to its output."""

from __future__ import annotations

from torch import nn

from convatlas.genes.gene import Gene
from convatlas.genes.structural import Add

GENES = (
    Gene("skip", "residual", "x + F(x)", "same shape", "0", "0", "He et al. 2015", Add),
    Gene("skip", "plain", "F(x)", "same shape", "0", "0", "He et al. 2015, their plain nets", nn.Identity),
)

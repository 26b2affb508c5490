"""Every gene by its locus: each module of this package lists its own genes as `GENES`."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from convatlas.genes.gene import Gene

_LOCI = (
    "convolution",
    "padding",
    "alignment",
    "pooling",
    "flattening",
    "normalization",
    "activation",
    "attention",
    "skip",
    "feedback",
    "output",
    "auxiliary",
    "routing",
    "decoder",
    "regularization",
)
_NOT_SEARCHED = ("genome", "loci")
"""Modules of this package that use genes and define none."""


def _collect() -> dict[str, dict[str, Gene]]:
    loci: dict[str, dict[str, Gene]] = {locus: {} for locus in _LOCI}
    for entry in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if entry.name in _NOT_SEARCHED:
            continue
        module = importlib.import_module(f"{__package__}.{entry.name}")
        for gene in getattr(module, "GENES", ()):
            if gene.locus not in loci:
                raise ValueError(
                    f"{gene} in genes/{entry.name}.py has the unknown locus {gene.locus}; loci are {', '.join(loci)}"
                )
            if gene.name in loci[gene.locus]:
                raise ValueError(f"{gene.locus} has two genes called {gene}, one in genes/{entry.name}.py")
            loci[gene.locus][gene.name] = gene
    return loci


LOCI = _collect()
"""Genes by name, for each locus; a genome has one gene per locus."""

REGULARIZATIONS = LOCI.pop("regularization")
"""Regularizations by name; unlike at other loci, a net has all of them, each with a rate."""

RATES = tuple(REGULARIZATIONS)
"""Fields of a genome that hold a probability."""

COUNTS = ("iterations",)
"""Fields of a genome that hold a whole number."""

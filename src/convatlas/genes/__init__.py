"""Genes: the components a net is built from. `loci.py` lists them all, `genome.py` chooses one per locus."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.genes.gene import Gene as Gene
    from convatlas.genes.genome import Genome as Genome
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Gene": "gene",
            "Genome": "genome",
        },
    )

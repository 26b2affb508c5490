"""Analyse nets: measure operations, shapes, parameters and receptive fields; report, compare and draw them."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.anatomy.anatomy import Anatomy as Anatomy
    from convatlas.anatomy.looking.pixel import Pixel as Pixel
    from convatlas.anatomy.measure.records import Layer as Layer
    from convatlas.anatomy.measure.records import Measurement as Measurement
    from convatlas.anatomy.report.check import Check as Check
    from convatlas.anatomy.report.choose import Choice as Choice
    from convatlas.anatomy.report.compare import Comparison as Comparison
    from convatlas.anatomy.report.show import NetSummary as NetSummary
    from convatlas.anatomy.structure.dna import Dna as Dna
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Anatomy": "anatomy",
            "Check": "report.check",
            "Choice": "report.choose",
            "Comparison": "report.compare",
            "Dna": "structure.dna",
            "Layer": "measure.records",
            "Measurement": "measure.records",
            "NetSummary": "report.show",
            "Pixel": "looking.pixel",
        },
    )

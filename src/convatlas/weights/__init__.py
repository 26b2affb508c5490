"""Published weights: where they come from, and how they are loaded into our nets."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.weights.lineage import Lineage as Lineage
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Lineage": "lineage",
        },
    )

"""The published facts of each net, read from data files, every figure with its source; imports without torch."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.catalogue.cards import Card as Card
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Card": "cards",
        },
    )

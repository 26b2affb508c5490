"""The nets: one file per family in `families`, and what all nets share."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.nets.net import Net as Net
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Net": "net",
        },
    )

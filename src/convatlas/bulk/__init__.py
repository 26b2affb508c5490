"""Run nets on any number of photos, shard by shard, in this process or on a Dask cluster."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.bulk.result import Batch as Batch
    from convatlas.bulk.result import Unreadable as Unreadable
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "Batch": "result",
            "Unreadable": "result",
        },
    )

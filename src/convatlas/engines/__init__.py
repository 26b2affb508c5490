"""Run a net faster: other engines, precisions and file formats, each verified against PyTorch's eager mode."""

from typing import TYPE_CHECKING

from convatlas.base.lazy import exports

if TYPE_CHECKING:
    from convatlas.engines.accelerated_net import AcceleratedNet as AcceleratedNet
    from convatlas.engines.accelerated_net import Acceleration as Acceleration
    from convatlas.engines.bench.records import Bench as Bench
    from convatlas.engines.options import Options as Options
else:
    __all__, __getattr__, __dir__ = exports(
        __name__,
        {
            "AcceleratedNet": "accelerated_net",
            "Acceleration": "accelerated_net",
            "Bench": "bench.records",
            "Options": "options",
        },
    )

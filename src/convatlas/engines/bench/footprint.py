"""What an engine needs beside time: seconds to load, and memory; in a process of its own that does nothing else.

`python -m convatlas.engines.bench.footprint SPECIFICATION` is that process.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.base.errors import ConvAtlasError
from convatlas.base.worker import WorkerError, run, specification
from convatlas.engines.backends.session import Session
from convatlas.engines.options import Setting


@dataclass(frozen=True)
class Weight:
    """Milliseconds to load a net into an engine, the engine's own import among them, and its peak memory in MB."""

    load: float
    memory: float


def weigh(setting: Setting, folder: Path, net: tuple[str, str | None], shape: tuple[int, ...], batch: int) -> Weight:
    """Loads a net in a new process and runs it twice on `batch` photos; `net` is its name and its weights.

    Raises:
        ConvAtlasError: The process failed.
    """
    try:
        output = run(__name__, [setting.to_dict(), str(folder), net, shape, batch])
    except WorkerError as error:
        raise ConvAtlasError(f"{setting} could not be weighed: {error.reason}") from None
    return Weight(*json.loads(output.splitlines()[-1]))


def main() -> None:
    """Prints milliseconds and megabytes as JSON."""
    setting, folder, net, shape, batch = specification()
    start = time.perf_counter()
    session = _session(Setting(**setting), Path(folder), *net)
    taken = 1e3 * (time.perf_counter() - start)
    x = np.zeros((batch, *shape), np.float32)
    for _ in range(2):
        session(x)
    print(json.dumps([taken, peak()]))


def _session(setting: Setting, folder: Path, name: str, weights: str | None) -> Session:
    if setting.engine == "eager":
        from convatlas.engines.backends.eager import EagerMode
        from convatlas.weights.resolve import named

        return EagerMode(named(name, weights), setting.channels_last)
    from convatlas.engines.start import start

    return start(folder, setting)


def peak() -> float:
    """The most memory that this process ever had, in MB; 0 where the system does not tell."""
    try:
        # Not from `resource`: on Linux a process inherits its parent's peak there.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main()

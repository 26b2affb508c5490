"""Measure load time and peak memory of an engine, in a process of its own that does nothing else.

`python -m convatlas.engines.bench.footprint SPECIFICATION` is that process.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convatlas.base.errors import ConvAtlasError
from convatlas.base.worker import WorkerError, read_specification, run
from convatlas.engines.options import Options
from convatlas.engines.registry import backends
from convatlas.engines.session import Session

if TYPE_CHECKING:
    from convatlas.engines.sample_inputs import NetInput


@dataclass(frozen=True)
class Footprint:
    """Load time and memory of an engine.

    Attributes:
        load: Milliseconds to import the engine and open the net.
        memory: Peak memory of the process in MB.
    """

    load: float
    memory: float


def measure_footprint(
    options: Options, folder: Path, net: tuple[str, str, str | None], input: NetInput, batch: int
) -> Footprint:
    """Open a net in a new process and run it twice on `batch` photos; `net` is (name, weights, convention).

    Raises:
        ConvAtlasError: The process failed.
    """
    try:
        output = run(__name__, [options.to_dict(), str(folder), net, (batch, *input.shape), input.kind])
    except WorkerError as error:
        raise ConvAtlasError(f"memory and load time of {options} could not be measured: {error.reason}") from None
    return Footprint(*json.loads(output.splitlines()[-1]))


def main() -> None:
    """Open and run the net; print the load time in ms and the peak memory in MB as JSON."""
    options, folder, net, shape, kind = read_specification()
    start = time.perf_counter()
    session = _session(Options(**options), Path(folder), *net)
    milliseconds = 1e3 * (time.perf_counter() - start)
    x = np.zeros(shape, kind)
    for _ in range(2):
        session(x)
    print(json.dumps([milliseconds, peak_memory()]))


def _session(options: Options, folder: Path, name: str, weights: str | None, convention: str | None) -> Session:
    backend, net = backends()[options.engine], None
    if not backend.files(folder, options):
        from convatlas.weights.resolve import resolve
        from convatlas.weights.weights_file import weights_file

        net = resolve(name, weights_file(weights, convention))
    return backend.open(folder, options, net)


def peak_memory() -> float:
    """Peak memory of this process in MB; 0 on systems that do not report it."""
    try:
        # Not `resource` on Linux, where a process inherits its parent's peak.
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

"""Run an engine for the first time in a process of its own, so that a crash or hang cannot take the caller down.

`python -m convatlas.engines.sandbox SPECIFICATION` is that process.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from convatlas.base.errors import ConvAtlasError
from convatlas.base.worker import WorkerError, read_specification, run
from convatlas.engines.options import Options
from convatlas.engines.registry import backends
from convatlas.engines.session import Float32Array

TIMEOUT = 900.0
"""Seconds after which an engine that hangs is stopped."""


def run_in_sandbox(folder: Path, options: Options, x: Float32Array) -> Float32Array:
    """Return the outputs for `x` of an engine that is opened from the files in `folder`.

    Raises:
        ConvAtlasError: The engine raised an error, crashed, or took longer than `TIMEOUT`; the text says which.
    """
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "x.npy", Path(place) / "y.npy"
        np.save(source, x)
        try:
            run(__name__, [str(folder), options.to_dict(), str(source), str(target)], timeout=TIMEOUT)
        except WorkerError as error:
            raise ConvAtlasError(f"{options.engine} {error}") from None
        y: Float32Array = np.load(target)
        return y


def main() -> None:
    """Open the engine, run it once, and write the outputs to a file."""
    folder, options, source, target = read_specification()
    try:
        session = backends()[options["engine"]].open(Path(folder), Options(**options))
        y = session(np.load(source))
    except ConvAtlasError as error:
        sys.exit(str(error))
    np.save(target, y)


if __name__ == "__main__":
    main()

"""An engine's first run with a net, in a process of its own: what crashes or hangs there harms nobody.

`python -m convatlas.engines.sandbox SPECIFICATION` is that process.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from convatlas.base.errors import ConvAtlasError
from convatlas.base.worker import WorkerError, run, specification
from convatlas.engines.backends.session import Photos
from convatlas.engines.options import Setting

PATIENCE = 900.0
"""Seconds after which a process that compiles is given up."""


def tried(folder: Path, setting: Setting, x: Photos) -> Photos:
    """What the engine answers to `x`.

    Raises:
        ConvAtlasError: It refused, crashed, or took longer than `PATIENCE`; says which.
    """
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "x.npy", Path(place) / "y.npy"
        np.save(source, x)
        try:
            run(__name__, [str(folder), setting.to_dict(), str(source), str(target)], timeout=PATIENCE)
        except WorkerError as error:
            raise ConvAtlasError(f"{setting.engine} {error}") from None
        found: Photos = np.load(target)
        return found


def main() -> None:
    """Starts the engine, runs it once, and leaves the answer in a file."""
    folder, setting, source, target = specification()
    from convatlas.engines.start import start

    try:
        answer = start(Path(folder), Setting(**setting))(np.load(source))
    except ConvAtlasError as error:
        sys.exit(str(error))
    np.save(target, answer)


if __name__ == "__main__":
    main()

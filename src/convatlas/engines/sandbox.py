"""An engine's first run with a net, in a process of its own: what crashes or hangs there harms nobody.

`python -m convatlas.engines.sandbox SPECIFICATION` is that process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from convatlas.base.errors import ConvAtlasError
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
        # -P: what lies in the user's folder and is called as a package is not that package.
        source, target = Path(place) / "x.npy", Path(place) / "y.npy"
        np.save(source, x)
        told = json.dumps([str(folder), setting.to_dict(), str(source), str(target)])
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "convatlas.engines.sandbox", told],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise ConvAtlasError(f"{setting.engine} was given up after {PATIENCE:.0f} s") from None
        if done.returncode < 0:
            raise ConvAtlasError(f"{setting.engine} crashed ({signal.Signals(-done.returncode).name})")
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["without a word"]
            raise ConvAtlasError(f"{setting.engine} failed: {lines[-1][:300]}")
        found: Photos = np.load(target)
        return found


def end_with_parent() -> None:
    """Ends this process, within a second, when the one that started it does: nobody waits for its answer then."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    """Starts the engine, runs it once, and leaves the answer in a file."""
    end_with_parent()
    folder, setting, source, target = json.loads(sys.argv[1])
    from convatlas.engines.start import start

    try:
        answer = start(Path(folder), Setting(**setting))(np.load(source))
    except ConvAtlasError as error:
        sys.exit(str(error))
    np.save(target, answer)


if __name__ == "__main__":
    main()

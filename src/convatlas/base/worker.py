"""Do work in a Python process of its own, so that a crash or hang there does not stop the caller.

`run` starts a module as a program; the program begins with `read_specification()` and prints its answer.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any


class WorkerError(Exception):
    """A worker that failed, crashed or took too long; the text follows the name of the work: "was given up after 3 s".

    Attributes:
        reason: The last line of its error stream; without one, the text as a sentence about "it".
    """

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


def run(
    module: str, specification: object, *, timeout: float | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a module as a program in a new process, and wait for it.

    Args:
        module: Its full name.
        specification: What it has to do; JSON must be able to hold it.
        timeout: Seconds after which it is killed.
        environment: Variables to set beside those of this process.

    Returns:
        Its standard output.

    Raises:
        WorkerError: It failed, crashed, or took longer than `timeout`.
    """
    # -P: a file in the user's folder must not stand for a package of the same name.
    command = [sys.executable, "-P", "-m", module, json.dumps(specification)]
    try:
        done = subprocess.run(
            command,
            env=os.environ | dict(environment or {}),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise WorkerError(text := f"was given up after {timeout:.0f} s", f"it {text}") from None
    if done.returncode < 0:
        raise WorkerError(text := f"crashed ({signal.Signals(-done.returncode).name})", f"it {text}")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        reason = lines[-1][:300]
        raise WorkerError(f"failed: {reason}", reason)
    return done.stdout


def read_specification() -> Any:
    """Return the specification with which `run` started this process; from now on the process ends with its parent."""
    end_with_parent()
    return json.loads(sys.argv[1])


def end_with_parent() -> None:
    """End this process, within a second, when the one that started it ends: nobody waits for its answer then."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    if (process := multiprocessing.parent_process()) is not None:
        process.join()
    else:
        while os.getppid() == parent:
            time.sleep(1)
    os._exit(1)

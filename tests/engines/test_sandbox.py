"""A process that compiles is not left alone."""

from __future__ import annotations

import subprocess
import sys

import psutil


def test_it_ends_with_who_started_it() -> None:
    child = (
        "import os, time; from convatlas.engines.sandbox import end_with_parent; "
        "end_with_parent(); print(os.getpid(), flush=True); time.sleep(60)"
    )
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    parent = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    left = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs([left], 10)
    for one in alive:
        one.kill()
    assert not alive

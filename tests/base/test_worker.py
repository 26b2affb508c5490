"""Python processes that work for this one."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from convatlas.base.worker import WorkerError, run


def test_it_ends_with_who_started_it() -> None:
    child = (
        "import os, time; from convatlas.base.worker import end_with_parent; "
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


WORKER = """
import os, time
from convatlas.base.worker import read_specification
what, value = read_specification()
if what == "print":
    print(value, os.environ.get("GREETING"))
elif what == "sleep":
    time.sleep(value)
elif what == "die":
    os.kill(os.getpid(), value)
else:
    raise SystemExit(value)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch) -> str:
    (tmp_path / "toy_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return "toy_worker"


def test_a_worker_gets_its_specification_and_answers(worker: str) -> None:
    assert run(worker, ["print", {"a": 1}], environment={"GREETING": "hello"}) == "{'a': 1} hello\n"


@pytest.mark.parametrize(
    ("task", "text", "reason"),
    [
        (["exit", "a\nlast line\n"], "failed: last line", "last line"),
        (["exit", 3], "failed: no message", "no message"),
        (["die", 9], "crashed (SIGKILL)", "it crashed (SIGKILL)"),
        (["sleep", 60], "was given up after 3 s", "it was given up after 3 s"),
    ],
)
def test_a_worker_that_fails(worker: str, task: list[object], text: str, reason: str) -> None:
    with pytest.raises(WorkerError) as error:
        run(worker, task, timeout=3 if task[0] == "sleep" else 60)
    assert (str(error.value), error.value.reason) == (text, reason)

"""Whatever ends a run, shards are whole, and the same call again gives every photo exactly once; one run at a time."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.bulk.photos import NET, answers, check_once, photos

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.bulk.batch import run_job
from convatlas.bulk.job import Job

JOB = Job("classify", "lenet5", engine="eager")
PROGRAM = [sys.executable, "-m", "convatlas", "batch", "classify"]
WORDS = ["--net", "lenet5", "--engine", "eager", "--shard", "20"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("photos"), 1200)


def begun(folder: Path, out: Path, *words: str) -> subprocess.Popen[bytes]:
    """A run in a process of its own, which has written some shards and is at the next one."""
    program = subprocess.Popen(
        [*PROGRAM, str(folder), "-o", str(out), *WORDS, *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        # Whoever runs the tests in the background may have them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while len(list(out.glob("shard-*"))) < 2:
        assert program.poll() is None, program.communicate()
        time.sleep(0.002)
    return program


def test_kill_9(folder: Path, tmp_path: Path) -> None:
    program = begun(folder, tmp_path)
    program.kill()
    program.communicate()
    there = len(list(tmp_path.glob("shard-*")))
    assert 2 <= there < 60
    assert len(answers(tmp_path)) == 20 * there
    again = ca.batch("classify", folder, tmp_path, **NET, shard=20)
    assert again.answered == 20 * (60 - there)
    check_once(tmp_path, folder)


def test_stopping_by_hand(folder: Path, tmp_path: Path) -> None:
    program = begun(folder, tmp_path)
    os.killpg(program.pid, signal.SIGINT)
    _, said = program.communicate()
    assert program.returncode == 130
    # On a slow machine, a line of progress may come before.
    *progress, last = said.splitlines()
    assert last == b"convatlas: stopped"
    assert all(line.startswith(b"convatlas: classify: ") for line in progress)
    assert not list(tmp_path.glob(".shard-*"))
    assert len(answers(tmp_path)) == 20 * len(list(tmp_path.glob("shard-*"))) < 1200


@pytest.mark.sweep
@pytest.mark.parametrize("engine", ["eager", "onnxruntime"])
@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1])
def test_kill_9_again_and_again(folder: Path, tmp_path: Path, delay: float, engine: str) -> None:
    for _ in range(3):
        program = begun(folder, tmp_path, "--engine", engine)
        time.sleep(delay)
        program.kill()
        program.communicate()
        answers(tmp_path)
        if len(list(tmp_path.glob("shard-*"))) == 60:
            break
    ca.batch("classify", folder, tmp_path, **NET, shard=20)
    check_once(tmp_path, folder)


def test_whoever_stops_listening(tmp_path: Path) -> None:
    """A caller that leaves in the middle of a shard leaves whole ones, and frees the folder."""
    folder = photos(tmp_path / "photos", 40)
    steps = run_job(JOB, folder, tmp_path / "out", 20)
    while next(steps)[0] <= 20:
        pass
    steps.close()
    assert [path.name for path in (tmp_path / "out").glob("*shard-*")] == ["shard-000000.parquet"]
    assert ca.batch("classify", folder, tmp_path / "out", **NET, shard=20).answered == 20
    check_once(tmp_path / "out", folder)


@pytest.mark.parametrize("cluster", [False, True])
def test_two_runs_at_once(tmp_path: Path, cluster: bool) -> None:
    folder, out = photos(tmp_path / "photos", 40), tmp_path / "out"
    steps = run_job(JOB, folder, out, 20)
    next(steps)
    with pytest.raises(ConvAtlasError, match="another run is at work in") as error:
        ca.batch("classify", folder, out, **NET, shard=20, cluster=cluster)
    assert str(error.value).isprintable()
    *_, (_, _, found) = steps
    assert found.answered == 40
    assert ca.batch("classify", folder, out, **NET, shard=20, cluster=cluster).answered == 0


def test_two_processes_at_once(tmp_path: Path) -> None:
    """The lock of one that dies is free at once."""
    folder, out = photos(tmp_path / "photos", 20), tmp_path / "out"
    out.mkdir()
    hold = "import sys, time, filelock\nwith filelock.FileLock(sys.argv[1]): print('held', flush=True); time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", hold, str(out / ".batch.lock")], stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(ConvAtlasError, match="another run is at work in"):
        ca.batch("classify", folder, out, **NET)
    assert os.listdir(out) == [".batch.lock"]
    other.kill()
    other.communicate()
    assert ca.batch("classify", folder, out, **NET).answered == 20


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int) -> None:
    folder, out, calls = photos(tmp_path / "photos", 50), tmp_path / "out", []
    genuine = getattr(os, step)

    def fails(*given: object) -> None:
        calls.append(given)
        if len(calls) == 3:  # the job, a shard, and not the next one
            raise OSError(number, os.strerror(number))
        genuine(*given)

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fails)
        with pytest.raises(ConvAtlasError, match=r"shard-000001\.parquet' cannot be written") as error:
            ca.batch("classify", folder, out, **NET, shard=20)
    assert os.strerror(number) in str(error.value)
    assert str(error.value).isprintable()
    assert sorted(path.name for path in out.iterdir()) == [".batch.lock", "_job.json", "shard-000000.parquet"]
    assert ca.batch("classify", folder, out, **NET, shard=20).answered == 30
    check_once(out, folder)


def test_a_disk_without_room_for_a_shard(tmp_path: Path) -> None:
    """Files may have 2,000 bytes: enough for the job, too few for its answers."""
    folder, out = photos(tmp_path / "photos", 60), tmp_path / "out"

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(ConvAtlasError, match=r"shard-000000\.parquet' cannot be written \(File too large\)"):
            ca.batch("classify", folder, out, **NET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in out.iterdir()) == [".batch.lock", "_job.json"]
    assert ca.batch("classify", folder, out, **NET).answered == 60


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated, for whoever is root may write anywhere."""

    def refused(path: Path, **how: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    folder = photos(tmp_path / "photos", 5)
    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(ConvAtlasError, match=r"cannot be written \(Permission denied\)"):
        ca.batch("classify", folder, tmp_path / "out", **NET)

"""The same shards on Dask: killed workers and runs, loopback alone, schedulers that run already, TLS."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster
from distributed.security import Security
from tests.bulk.photos import NET, answers, check_once, photos
from tests.bulk.test_killed import begun

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.bulk import dask as clusters
from convatlas.bulk import dask_cluster
from convatlas.bulk.batch import run_job
from convatlas.bulk.job import Cluster, Job
from convatlas.weights.resolve import resolve

JOB = Job("classify", "lenet5", engine="eager")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("photos"), 1200)


def workers() -> list[psutil.Process]:
    """Those of this process that answer shards."""
    children = psutil.Process().children(recursive=True)
    return [one for one in children if "spawn_main" in " ".join(one.cmdline())]


def test_a_worker_is_killed(folder: Path, tmp_path: Path) -> None:
    """It is reached from this machine alone, like all others; another one takes its shards."""
    resolve("lenet5")  # parts of PyTorch set variables of their own when they are first imported
    before = dict(os.environ)
    steps = run_job(JOB, folder, tmp_path, 20, Cluster(workers=2))
    while next(steps)[0] < 40:
        pass
    everyone = [psutil.Process(), *workers()]
    assert len(everyone) == 3
    heard = [one.laddr.ip for each in everyone for one in each.net_connections() if one.status == "LISTEN"]
    assert len(heard) >= 3
    assert set(heard) == {"127.0.0.1"}
    everyone[1].kill()
    *_, (done, total, found) = steps
    assert done == total == found.answered == 1200
    assert found.engines[0].startswith("eager float32, 16 a run")
    check_once(tmp_path, folder)
    assert not workers()
    assert dict(os.environ) == before


def test_a_whole_run_is_killed(folder: Path, tmp_path: Path) -> None:
    program = begun(folder, tmp_path, "--cluster", "--workers", "1")
    workers = psutil.Process(program.pid).children(recursive=True)
    program.kill()
    program.communicate()
    _, alive = psutil.wait_procs(workers, 10)
    assert not alive
    assert len(answers(tmp_path)) == 20 * len(list(tmp_path.glob("shard-*"))) < 1200
    ca.batch("classify", folder, tmp_path, **NET, shard=20)
    check_once(tmp_path, folder)


@pytest.mark.sweep
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.3])
def test_everything_is_killed_again_and_again(folder: Path, tmp_path: Path, delay: float) -> None:
    for _ in range(2):
        program = begun(folder, tmp_path, "--cluster", "--workers", "2")
        time.sleep(delay)
        for worker in psutil.Process(program.pid).children(recursive=True)[:1]:
            worker.kill()
        time.sleep(delay)
        program.kill()
        program.communicate()
    ca.batch("classify", folder, tmp_path, **NET, shard=20, cluster=True)
    check_once(tmp_path, folder)


@pytest.mark.sweep
def test_stopping_by_hand(folder: Path, tmp_path: Path) -> None:
    """A terminal tells all processes; those that answer shards leave it to the one that started them."""
    program = begun(folder, tmp_path, "--cluster", "--workers", "2")
    children = psutil.Process(program.pid).children(recursive=True)
    os.killpg(program.pid, signal.SIGINT)
    _, said = program.communicate(timeout=60)
    assert program.returncode == 130
    # On a slow machine, a line of progress may come before.
    *progress, last = said.splitlines()
    assert last == b"convatlas: stopped"
    assert all(line.startswith(b"convatlas: classify: ") for line in progress)
    assert not psutil.wait_procs(children, 5)[1]
    assert len(answers(tmp_path)) == 20 * len(list(tmp_path.glob("shard-*"))) < 1200


@pytest.mark.sweep
def test_a_scheduler_is_killed(folder: Path, tmp_path: Path) -> None:
    """A real one, in the middle of a run: one line, what is done is kept, and the same call goes on after it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dask, address = [sys.executable, "-m", "dask"], f"tcp://127.0.0.1:{port}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    where = ["--host", "127.0.0.1", "--no-dashboard"]
    scheduler = subprocess.Popen([*dask, "scheduler", *where, "--port", str(port)], **quiet)
    worker = subprocess.Popen([*dask, "worker", *where, "--nthreads", "1", address], **quiet)
    try:
        program = begun(folder, tmp_path, "--scheduler", address)
        scheduler.kill()
        _, said = program.communicate(timeout=60)
    finally:
        for one in (scheduler, worker):
            one.terminate()
            one.wait()
    assert program.returncode == 1
    assert said.decode() == f"convatlas: {clusters.GONE}\n"
    there = len(list(tmp_path.glob("shard-*")))
    assert ca.batch("classify", folder, tmp_path, **NET, shard=20).answered == 20 * (60 - there)
    check_once(tmp_path, folder)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Somebody's certificate, signed by himself, and its key."""
    place = tmp_path_factory.mktemp("certificates")
    certificate, key = str(place / "cert.pem"), str(place / "key.pem")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(params=["tcp", "tls"])
def running(request: pytest.FixtureRequest, certificates: tuple[str, str]) -> Iterator[Cluster]:
    """A scheduler that runs already, whose workers are threads of this process."""
    certificate, key = certificates
    security, tls = Security(), {}
    if request.param == "tls":
        names = {"tls_ca_file": certificate}
        for role in ("client", "scheduler", "worker"):
            names |= {f"tls_{role}_cert": certificate, f"tls_{role}_key": key}
        security = Security(require_encryption=True, **names)
        tls = {"tls_ca": certificate, "tls_cert": certificate, "tls_key": key}
    with LocalCluster(
        n_workers=1,
        threads_per_worker=3,
        processes=False,
        protocol=request.param,
        dashboard_address=None,
        security=security,
    ) as cluster:
        yield Cluster(None, cluster.scheduler_address, **tls)


def test_a_scheduler_that_runs_already(running: Cluster, tmp_path: Path) -> None:
    """A worker of several threads answers one shard at a time, each of them once."""
    folder = photos(tmp_path / "photos", 90)
    assert running.scheduler.startswith(("tcp://127.0.0.1", "tls://127.0.0.1"))
    (folder / "000" / "00004.png").write_bytes(b"")
    *_, (_, _, found) = run_job(JOB, folder, tmp_path / "out", 10, running)
    assert (found.answered, found.shards, len(found.unread)) == (90, 9, 1)
    check_once(tmp_path / "out", folder)


def test_what_a_worker_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(tmp_path / "photos", 30)
    with LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=None) as cluster:
        where = Cluster(scheduler=cluster.scheduler_address)

        def full(*given: object) -> None:
            raise ConvAtlasError("cannot be written (No space left on device)")

        with monkeypatch.context() as patch:
            patch.setattr(clusters, "write_shards", full)
            with pytest.raises(ConvAtlasError, match="No space left on device"):
                list(run_job(JOB, folder, tmp_path / "out", 10, where))
        with monkeypatch.context() as patch:
            patch.setattr(clusters, "write_shards", None)
            with pytest.raises(ConvAtlasError, match=r"a worker failed at shard-000000\.parquet: TypeError"):
                list(run_job(JOB, folder, tmp_path / "out", 10, where))
        with monkeypatch.context() as patch:
            patch.setattr(clusters, "_load_task_once", lambda job: (None, {"sha256": "another"}))
            with pytest.raises(ConvAtlasError, match="on a worker, lenet5 with own/mnist weights is another net"):
                list(run_job(JOB, folder, tmp_path / "out", 10, where))
        # In a folder of its own: the worker may still be at what the others left.
        assert list(run_job(JOB, folder, tmp_path / "whole", 10, where))[-1][2].answered == 30


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (clusters.KilledWorker("shard", None, 3), r"shard-000000\.parquet crashed several workers"),
        (clusters.CancelledError(), "the scheduler is gone"),
        (clusters.CommClosedError(), "the scheduler is gone"),
        (ModuleNotFoundError("No module named 'convatlas'"), "a worker failed at shard-000000.*No module"),
        (None, "the scheduler is gone"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_dask_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: Exception | None, said: str) -> None:
    """Simulated; None: the scheduler does not even say who its workers are."""

    class Ended:
        key = "shard"

        def result(self) -> None:
            raise ended

    class Nobody:
        def nthreads(self) -> dict[str, int]:
            if ended is None:
                raise OSError("Timed out")
            return {"one": 1}

        def submit(self, *given: object, **how: object) -> Ended:
            return Ended()

    monkeypatch.setattr(clusters, "_first_finished", lambda client, futures: futures[0])
    shard = clusters.Shard(str(tmp_path), ["a.png"], tmp_path / "shard-000000.parquet")
    with pytest.raises(ConvAtlasError, match=said):
        list(clusters.run_shards(Nobody(), JOB, {}, [shard]))


def test_schedulers_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificates: tuple[str, str]
) -> None:
    folder = photos(tmp_path / "photos", 5)
    monkeypatch.setattr(dask_cluster, "TIMEOUT", 1)
    wish = {"task": "classify", "photos": folder, "output": tmp_path / "out"} | NET
    certificate, key = certificates
    secure = {"scheduler": "tls://127.0.0.1:9", "tls_ca": certificate, "tls_cert": certificate, "tls_key": key}
    for how in ({"scheduler": "tcp://127.0.0.1:9"}, {"scheduler": "nonsense"}, secure, secure | {"tls_ca": key}):
        with pytest.raises(ConvAtlasError, match=f"no scheduler answers at {how['scheduler']}") as error:
            ca.batch(**wish | how)
        assert str(error.value).isprintable()
    nobody = LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=None)
    with nobody as cluster, pytest.raises(ConvAtlasError, match="has no workers"):
        ca.batch(**wish, scheduler=cluster.scheduler_address)


def test_processes_that_do_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**how: object) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(dask_cluster, "LocalCluster", fails)
    heard = signal.getsignal(signal.SIGINT)
    with pytest.raises(ConvAtlasError, match=r"processes cannot be started \(Nanny failed to start\.\).*guarded"):
        ca.batch("classify", photos(tmp_path / "photos", 5), tmp_path / "out", **NET, workers=1)
    assert signal.getsignal(signal.SIGINT) is heard


def test_workers_that_do_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "TIMEOUT", 0.5)
    shard = clusters.Shard(str(tmp_path), ["a.png"], tmp_path / "shard-000000.parquet")
    with (
        LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=None) as cluster,
        Client(cluster.scheduler_address) as client,
        pytest.raises(ConvAtlasError, match="no workers any more; finished shards are whole"),
    ):
        list(clusters.run_shards(client, JOB, {}, [shard]))

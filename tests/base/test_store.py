"""A file comes whole, verified, and once however many ask."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.servers import Server
from tests.stores import DATA, HASHES, SHA256, left, refusal

import convatlas
from convatlas.base.locking import locked
from convatlas.base.store import fetch as module
from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote, path_of


@pytest.mark.parametrize("digest", HASHES.values(), ids=HASHES)
def test_a_file_comes_whole_and_once(server: Server, store: Path, digest: str) -> None:
    remote = Remote(server.add("/dir/net", DATA), "net.h5", digest, len(DATA))
    assert fetch(remote) == store / "downloads" / "net.h5" == path_of(remote)
    assert path_of(remote).read_bytes() == DATA
    assert fetch(remote) == path_of(remote)
    assert [one.method for one in server.requests] == ["GET"]
    assert left(remote) == {"net.h5", ".net.h5.verified"}
    assert server.requests[0].headers["User-Agent"] == f"convatlas/{convatlas.__version__}"
    assert "Range" not in server.requests[0].headers


@pytest.mark.parametrize("framing", ["length", "chunked", "open"])
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one", "many"])
def test_each_framing_and_length(server: Server, store: Path, framing: str, data: bytes) -> None:
    remote = Remote(server.add("/net", data, framing=framing), "net.h5", hashlib.sha256(data).hexdigest())
    assert fetch(remote).read_bytes() == data


def test_others_may_read_what_the_user_lets_them(server: Server, store: Path) -> None:
    before = os.umask(0o022)
    try:
        fetch(Remote(server.add("/net", DATA), "net.h5"))
    finally:
        os.umask(before)
    for path in (store / "pins.json", *(store / "downloads").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("digest", HASHES.values(), ids=HASHES)
def test_a_wrong_file_never_gets_the_name(server: Server, store: Path, digest: str) -> None:
    url = server.add("/net", DATA)
    fetch(Remote(url, "first.h5", digest))
    wrong = DATA[:-1] + b"\0"
    server.files["/net"].data = wrong
    said = refusal(remote := Remote(url, "net.h5", digest))
    kind = {32: hashlib.md5, 40: hashlib.sha1}.get(len(digest), hashlib.sha256)
    assert f" is {kind(wrong).hexdigest()}, not {digest or SHA256}" in said
    assert said.startswith(f"cannot download {url}: the server sends another file: its ")
    assert said.endswith(f"; or save the file as {path_of(remote)} yourself")
    assert left(remote) == {"first.h5", ".first.h5.lock", ".first.h5.verified"}
    assert server.count() == 2


FETCHES = """
import sys
from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote
sys.stdin.readline()
print(fetch(Remote(*sys.argv[1:])))
"""


def started(*remote: str) -> subprocess.Popen[str]:
    """A process that fetches as soon as it is told to."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", FETCHES, *remote], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_ten_processes_download_once(server: Server, store: Path) -> None:
    remote = Remote(server.add("/net", DATA * 20), "net.h5")
    processes = [started(remote.url, remote.file) for _ in range(10)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    results = [process.communicate() for process in processes]
    assert [out.strip() for out, _ in results] == [str(path_of(remote))] * 10
    assert sum("is pinned" in err for _, err in results) == 1
    assert path_of(remote).read_bytes() == DATA * 20
    assert server.count() == 1


def test_ten_threads_download_once(server: Server, store: Path) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(fetch, [remote] * 10)) == {path_of(remote)}
    assert server.count() == 1


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    path, inside = tmp_path / "new" / "file", []

    def hold(number: int) -> None:
        with locked(path):
            inside.append(number)
            time.sleep(0.01)
            assert inside[-1] == number

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(hold, range(5)))
    assert sorted(inside) == list(range(5))
    assert [one.name for one in path.parent.iterdir()] == [".file.lock"]


def test_a_lock_is_let_go_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), locked(tmp_path / "file"):
            raise KeyError


def test_the_lock_of_a_killed_process_is_free(server: Server, store: Path) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom convatlas.base.locking import locked\n"
        "with locked(Path(sys.argv[1])):\n print('held', flush=True)\n sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, path_of(remote)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waiting = threading.Thread(target=fetch, args=(remote,))
    waiting.start()
    time.sleep(0.2)
    assert server.count() == 0
    holder.kill()
    holder.wait()
    waiting.join(10)
    assert server.count() == 1
    assert path_of(remote).read_bytes() == DATA


def test_the_file_is_on_the_disk_before_it_gets_its_name(
    server: Server, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("fsync", "replace"):
        genuine = getattr(os, name)

        def noted(*given: Any, name: str = name, genuine: Any = genuine) -> Any:
            steps.append(name)
            return genuine(*given)

        monkeypatch.setattr(module.os, name, noted)
    fetch(Remote(server.add("/net", DATA), "net.h5", SHA256))
    # What is resumable, the file, what was verified.
    assert steps == ["fsync", "replace"] * 3

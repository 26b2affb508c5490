"""Whatever the disk does and whatever lies in the store: one clear line, and never half a file under its name."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.servers import Fault, Server
from tests.stores import DATA, SHA256, outcome, refusal

from convatlas.base.errors import StoreError
from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote, path_of


@pytest.mark.parametrize("room", [0, 100_000, len(DATA) - 1])
def test_a_full_disk(server: Server, store: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Simulated: there is room for so many bytes more; afterwards the download goes on."""
    genuine = Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file, self.room = file, room

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *given: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> None:
            self.file.write(data[: self.room])
            if len(data) > self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= len(data)

    def opened(path: Path, mode: str = "r", **how: Any) -> Any:
        file = genuine(path, mode, **how)
        return Full(file) if path.suffix == ".part" and mode in ("ab", "xb") else file

    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        said = f"{path_of(remote)} cannot be used: No space left on device; CONVATLAS_HOME says where the store is"
        assert refusal(remote) == said
    assert not path_of(remote).exists()
    assert fetch(remote).read_bytes() == DATA
    assert server.requests[-1].headers.get("Range") == (f"bytes={room}-" if room else None)


@pytest.mark.parametrize("step", ["fsync", "replace", "utime"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_fails_at_any_step(
    server: Server, store: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    def fails(*given: Any, **more: Any) -> None:
        raise OSError(number, os.strerror(number))

    remote = Remote(server.add("/net", DATA), "net.h5", "")
    with monkeypatch.context() as patch:
        patch.setattr(os, step, fails)
        assert os.strerror(number) in refusal(remote)
    assert fetch(remote).read_bytes() == DATA


FETCH = """
import os, resource, sys
from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote
from convatlas.base.errors import ConvAtlasError
{before}
try:
    print(fetch(Remote(*sys.argv[1:]), quiet=True))
except ConvAtlasError as error:
    print(error, file=sys.stderr)
"""


def run(remote: Remote, before: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", FETCH.format(before=before), remote.url, remote.file, remote.hash]
    return subprocess.run(words, capture_output=True, text=True, env={**os.environ, **environment})


def test_a_file_that_the_system_lets_grow_no_further(server: Server, store: Path) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    done = run(remote, "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))")
    assert done.stdout == ""
    assert done.stderr.startswith(f"{path_of(remote)} cannot be used: File too large; CONVATLAS_HOME says")
    assert done.stderr.count("\n") == 1
    assert not path_of(remote).exists()
    assert fetch(remote).read_bytes() == DATA
    assert server.requests[-1].headers["Range"] == "bytes=100000-"


# Nobody may write everywhere, as root may.
NOBODY = "if os.getuid() == 0:\n    os.setgid(65534); os.setuid(65534)"


@pytest.fixture
def reachable(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store that every user may go into; the folders above pytest's own are closed to others."""
    with TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        place.chmod(0o755)
        (place / "store").mkdir(mode=0o755)
        monkeypatch.setenv("CONVATLAS_HOME", str(place / "store"))
        yield place / "store"


def test_a_home_that_may_not_be_written(server: Server, reachable: Path) -> None:
    reachable.chmod(0o555)
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    done = run(remote, NOBODY)
    assert done.stdout == ""
    assert done.stderr == (
        f"{reachable}/downloads cannot be used: Permission denied; CONVATLAS_HOME says where the store is\n"
    )
    reachable.chmod(0o755)


def test_a_home_that_may_not_be_entered(server: Server, reachable: Path) -> None:
    reachable.chmod(0o000)
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    done = run(remote, NOBODY)
    assert done.stdout == ""
    assert done.stderr == (
        f"{reachable}/downloads/net.h5 cannot be used: Permission denied; CONVATLAS_HOME says where the store is\n"
    )
    reachable.chmod(0o755)


@pytest.mark.parametrize("verified", [True, False])
def test_a_store_that_may_only_be_read_serves(server: Server, reachable: Path, verified: bool) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    fetch(remote)
    if not verified:
        (reachable / "downloads" / ".net.h5.verified").unlink()
    for folder in (reachable / "downloads", reachable):
        folder.chmod(0o555)
    done = run(remote, NOBODY)
    assert (done.stdout, done.stderr) == (f"{path_of(remote)}\n", "")
    for folder in (reachable, reachable / "downloads"):
        folder.chmod(0o755)


def test_a_home_that_is_a_file(server: Server, store: Path) -> None:
    store.write_bytes(b"")
    assert "Not a directory; CONVATLAS_HOME" in refusal(Remote(server.add("/net", DATA), "net.h5", SHA256))


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_something_else_in_the_place_of_the_file(server: Server, store: Path, kind: str) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    path_of(remote).parent.mkdir(parents=True)
    path_of(remote).mkdir() if kind == "folder" else os.mkfifo(path_of(remote))
    with pytest.raises(StoreError, match=r"net\.h5 is not an ordinary file; delete it"):
        fetch(remote)
    assert server.count() == 0


@pytest.mark.parametrize("name", [".net.h5.part", ".net.h5.part.json", ".net.h5.lock", ".net.h5.verified", "net.h5"])
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_something_else_in_the_place_of_a_note(server: Server, store: Path, name: str, kind: str) -> None:
    """Whatever happens, it does not hang, and what is under the name is the file."""
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    path = path_of(remote).with_name(name)
    path.parent.mkdir(parents=True)
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    found = outcome(remote)
    assert found == DATA or isinstance(found, str)


@pytest.mark.parametrize("name", [".net.h5.part", ".net.h5.part.json", ".net.h5.lock", ".net.h5.verified", "net.h5"])
@pytest.mark.parametrize("broken_off", [False, True])
def test_nothing_is_written_through_a_link(
    server: Server, store: Path, tmp_path: Path, name: str, broken_off: bool
) -> None:
    """Each name that the store writes to, as a link to a file elsewhere, which stays what it is."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(DATA[:2000] if name.endswith(".part") else b"precious")
    before = elsewhere.read_bytes()
    remote = Remote(server.add("/net", DATA, faults=repeat(Fault(cut=1000)) if broken_off else ()), "net.h5", SHA256)
    path_of(remote).parent.mkdir(parents=True)
    if broken_off:
        with pytest.raises(StoreError):
            fetch(remote)
        server.files["/net"].faults = ()
    link = path_of(remote).with_name(name)
    link.unlink(missing_ok=True)
    link.symlink_to(elsewhere)
    found = outcome(remote)
    assert isinstance(found, str) if name in (".net.h5.lock", "net.h5") else found == DATA
    assert elsewhere.read_bytes() == before


def test_a_link_to_nowhere_is_replaced(server: Server, store: Path, tmp_path: Path) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    path_of(remote).parent.mkdir(parents=True)
    path_of(remote).symlink_to(tmp_path / "elsewhere")
    assert fetch(remote).read_bytes() == DATA
    assert not path_of(remote).is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_kept_elsewhere_may_be_linked_by_hand(server: Server, store: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "big-disk.h5"
    elsewhere.write_bytes(DATA)
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    path_of(remote).parent.mkdir(parents=True)
    path_of(remote).symlink_to(elsewhere)
    assert fetch(remote) == path_of(remote)
    elsewhere.write_bytes(DATA[:-1])
    with pytest.raises(StoreError, match="delete it"):
        fetch(remote)


@pytest.mark.parametrize("target", ["elsewhere", "missing", "store-of-another", "downloads"])
def test_a_folder_that_links_out_of_the_store(server: Server, store: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "store-of-another").mkdir()
    store.mkdir()
    (store / "downloads").symlink_to(tmp_path / target if target != "downloads" else "downloads")
    said = refusal(Remote(server.add("/net", DATA), "net.h5", SHA256))
    assert target == "downloads" or f"{store / 'downloads'} is a link out of the store, to {tmp_path / target}" in said
    assert [*(tmp_path / "elsewhere").iterdir(), *(tmp_path / "store-of-another").iterdir()] == []
    assert server.count() == 0


def test_links_within_the_store_and_to_it(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "big" / "real").mkdir(parents=True)
    (tmp_path / "big" / "downloads").symlink_to("real")
    (tmp_path / "home").symlink_to("big")
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "home"))
    fetch(Remote(server.add("/net", DATA), "net.h5", SHA256))
    assert (tmp_path / "big" / "real" / "net.h5").read_bytes() == DATA


def test_an_interrupt_leaves_no_file_and_no_lock(server: Server, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch(remote)
    assert not path_of(remote).exists()
    assert fetch(remote).read_bytes() == DATA

"""A file is verified once, again after any change, and against what was pinned where nothing is published."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.servers import Server
from tests.stores import DATA, HASHES, SHA256, put, refusal

from convatlas.base.store import verify
from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote, path_of


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by the name of each file that is read whole to be verified."""
    read: list[str] = []
    genuine = hashlib.file_digest

    def counted(file: Any, digest: Any) -> Any:
        read.append(Path(file.name).name)
        return genuine(file, digest)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return read


def test_a_verified_file_is_not_read_again(
    server: Server, store: Path, readings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    fetch(remote)
    assert len(readings) == 1
    server.close()
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    for _ in range(3):
        fetch(remote)
    assert len(readings) == 1


def rewritten(path: Path) -> None:
    path.write_bytes(DATA[:-1] + b"\0")


def rewritten_with_its_times(path: Path) -> None:
    found = path.stat()
    rewritten(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def replaced_with_its_times(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(DATA[:-1] + b"\0")
    shutil.copystat(path, other)
    os.replace(other, path)


def one_byte_changed(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\1")


def shortened(path: Path) -> None:
    os.truncate(path, len(DATA) - 1)


@pytest.mark.parametrize(
    "change", [rewritten, rewritten_with_its_times, replaced_with_its_times, one_byte_changed, shortened]
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_every_change_is_seen(server: Server, store: Path, change: Any, by_hand: bool) -> None:
    """Also one that follows at once, in the same tick of the file system's clock."""
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    if by_hand:
        put(path_of(remote), DATA)
    fetch(remote)
    change(path_of(remote))
    assert "delete it" in refusal(remote)
    path_of(remote).write_bytes(DATA)
    assert fetch(remote) == path_of(remote)


def test_what_is_too_new_is_not_remembered(server: Server, store: Path, readings: list[str]) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    put(path_of(remote), DATA, at=int(time.time()))
    fetch(remote)
    fetch(remote)
    assert len(readings) == 2


def test_what_was_verified_for_one_is_not_for_another(server: Server, store: Path) -> None:
    fetch(Remote(server.add("/net", DATA), "net.h5", SHA256[:8]))
    said = refusal(Remote(server.url + "/net", "net.h5", "0" * 64))
    assert f"its sha256 is {SHA256}, not {'0' * 64}" in said
    assert "bytes, not 3" in refusal(Remote(server.url + "/net", "net.h5", SHA256[:8], 3))
    assert fetch(Remote(server.url + "/net", "net.h5", SHA256[:8], len(DATA)))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"size": 1}', "\xff", "[" * 100_000])
def test_a_damaged_note_is_no_proof(server: Server, store: Path, readings: list[str], text: str) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    fetch(remote)
    (store / "downloads" / ".net.h5.verified").write_bytes(text.encode("latin-1"))
    fetch(remote)
    fetch(remote)
    assert len(readings) == 2


# What it pins


def test_without_a_published_hash_the_first_is_pinned(
    server: Server, store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5")
    fetch(remote)
    said = capfd.readouterr()
    pins = store / "pins.json"
    text = f"convatlas: no hash of net.h5 is published; its sha256 {SHA256} is pinned in {pins}\n"
    assert (said.out, said.err) == ("", text)
    assert json.loads(pins.read_text()) == {remote.url: SHA256}
    fetch(remote)
    fetch(remote, folder="again")
    assert capfd.readouterr().err == ""
    path_of(remote).unlink()
    server.files["/net"].data = b"another"
    said_of_it = refusal(remote)
    assert f"not {SHA256} as on first use" in said_of_it
    assert str(pins) in said_of_it
    put(path_of(remote), b"another")
    assert f"not {SHA256} as on first use" in refusal(remote)
    pins.unlink()
    assert fetch(remote).read_bytes() == b"another"


def test_quiet_pins_too(server: Server, store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetch(Remote(server.add("/net", DATA), "net.h5"), quiet=True)
    assert capfd.readouterr() == ("", "")
    assert (store / "pins.json").exists()


def test_the_beginning_of_a_hash_is_pinned_in_full(
    server: Server, store: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Remote(server.add("/net-01234567.pth", DATA), "net.pth", SHA256[:8])
    fetch(remote)
    assert json.loads((store / "pins.json").read_text()) == {remote.url: SHA256}
    assert capfd.readouterr().err == ""
    # Another file of the same beginning takes 2^31 tries; another pin does as well.
    (store / "pins.json").write_text(json.dumps({remote.url: SHA256[:8] + "0" * 56}))
    path_of(remote).unlink()
    assert f"not {SHA256[:8] + '0' * 56} as on first use" in refusal(remote)


@pytest.mark.parametrize("digest", [SHA256, HASHES["md5"], HASHES["sha1"]])
def test_a_published_hash_needs_no_pin(server: Server, store: Path, digest: str) -> None:
    fetch(Remote(server.add("/net", DATA), "net.h5", digest))
    assert not (store / "pins.json").exists()


def test_what_is_put_there_by_hand_is_pinned(server: Server, store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    remote = Remote(server.url + "/net", "net.h5")
    put(path_of(remote), DATA)
    fetch(remote)
    assert "is pinned in" in capfd.readouterr().err
    assert json.loads((store / "pins.json").read_text()) == {remote.url: SHA256}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"http://a/b": 3}', "\xff"])
def test_damaged_pins_are_not_thrown_away(server: Server, store: Path, text: str) -> None:
    store.mkdir()
    (store / "pins.json").write_bytes(text.encode("latin-1"))
    remote = Remote(server.add("/net", DATA), "net.h5")
    assert f"{store / 'pins.json'} is damaged" in refusal(remote)
    assert not path_of(remote).exists()
    (store / "pins.json").unlink()
    assert fetch(remote).read_bytes() == DATA


def test_pins_of_many_processes_are_all_kept(server: Server, store: Path) -> None:
    addresses = [server.add(f"/{number}", DATA) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda url: fetch(Remote(url, f"net{url[-1]}.h5"), quiet=True), addresses))
    assert json.loads((store / "pins.json").read_text()) == dict.fromkeys(addresses, SHA256)


def test_who_pins_first_is_right(server: Server, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process pins another file of the same address just before this one does."""
    remote = Remote(server.add("/net", DATA), "net.h5")

    @contextmanager
    def late(path: Path) -> Iterator[bool]:
        path.write_text(json.dumps({remote.url: "0" * 64}))
        yield True

    monkeypatch.setattr(verify, "locked_if_writable", late)
    assert f"its sha256 is {SHA256}, not {'0' * 64} as on first use" in refusal(remote)


def test_a_file_put_there_by_hand(server: Server, store: Path, readings: list[str]) -> None:
    remote = Remote(server.url + "/net", "net.h5", SHA256)
    put(path_of(remote), DATA)
    for _ in range(3):
        assert fetch(remote) == path_of(remote)
    assert readings == ["net.h5"]
    assert server.count() == 0


@pytest.mark.parametrize(
    "data", [b"", DATA[:-1], DATA + b"\0", DATA[:-1] + b"\0"], ids=["empty", "short", "long", "bit"]
)
@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_wrong_file_put_there_by_hand_is_told_and_left(
    server: Server, store: Path, data: bytes, size: int | None
) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256, size)
    put(path_of(remote), data)
    for _ in range(2):
        said = refusal(remote)
        assert said.startswith(f"{path_of(remote)} is not the file published at {remote.url}: ")
        assert said.endswith("; delete it")
        if size is None or len(data) == size:
            assert f"its sha256 is {hashlib.sha256(data).hexdigest()}, not {SHA256}" in said
        else:
            assert f"it has {len(data):,} bytes, not 256,000" in said
    assert path_of(remote).read_bytes() == data
    assert server.count() == 0
    path_of(remote).unlink()
    assert fetch(remote).read_bytes() == DATA

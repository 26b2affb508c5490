"""The store: where it is, what it takes for the published file, what it remembers, and that it asks once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
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
from tests.stores import DATA, SHA256, left, refusal

from convatlas.base import store as storing
from convatlas.base.errors import StoreError
from convatlas.base.store import Remote, fetch, home, locked, offline, placed

HASHES = {
    "md5": hashlib.md5(DATA).hexdigest(),
    "sha1": hashlib.sha1(DATA).hexdigest(),
    "sha256": SHA256,
    "capitals": SHA256.upper(),
    "first 8": SHA256[:8],
    "first 31": SHA256[:31],
    "none": "",
}
LONG_AGO = 1_700_000_000


def put(path: Path, data: bytes, at: int = LONG_AGO) -> None:
    """By hand, as if it had been there for years."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (at, at))


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


# Where it is


def test_home_is_what_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for said, meant in {"/a/b": "/a/b", "~/b": f"{tmp_path}/b", "b": f"{tmp_path}/b"}.items():
        monkeypatch.setenv("CONVATLAS_HOME", said)
        assert home() == Path(meant)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "{home}/.cache/convatlas"),
        ("linux", {"XDG_CACHE_HOME": "/big/cache"}, "/big/cache/convatlas"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "{home}/.cache/convatlas"),
        ("linux", {"XDG_CACHE_HOME": ""}, "{home}/.cache/convatlas"),
        ("linux", {"CONVATLAS_HOME": ""}, "{home}/.cache/convatlas"),
        ("darwin", {"XDG_CACHE_HOME": "/big/cache"}, "{home}/Library/Caches/convatlas"),
        ("win32", {"LOCALAPPDATA": "/users/me/local"}, "/users/me/local/convatlas"),
        ("win32", {}, "{home}/AppData/Local/convatlas"),
    ],
)
def test_home_is_the_platforms(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("CONVATLAS_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert str(home()) == expected.format(home=tmp_path)


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_HOME", "~nobody-of-this-name/x")
    with pytest.raises(StoreError, match="set CONVATLAS_HOME to a folder"):
        home()
    monkeypatch.setenv("CONVATLAS_HOME", "/a\nb")
    with pytest.raises(StoreError, match=r"'/a\\nb'; set CONVATLAS_HOME"):
        home()


def test_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVATLAS_OFFLINE", raising=False)
    assert not offline()
    for value in ("", "0", "false", "no", "No", "FALSE", " 0 "):
        monkeypatch.setenv("CONVATLAS_OFFLINE", value)
        assert not offline()
    for value in ("1", "true", "yes", "off", "2", "00"):
        monkeypatch.setenv("CONVATLAS_OFFLINE", value)
        assert offline()


def test_where_a_file_is(store: Path) -> None:
    remote = Remote("https://weights.example/dir/net.h5?x=1", "net-1.0_a.h5")
    assert placed(remote) == store / "downloads" / "net-1.0_a.h5"
    assert placed(remote, "converted/keras") == store / "converted" / "keras" / "net-1.0_a.h5"
    assert not store.exists()


def test_it_needs_no_torch() -> None:
    code = "import sys, convatlas.base.store; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# What it takes for the published file


@pytest.mark.parametrize("digest", HASHES.values(), ids=HASHES)
def test_a_file_comes_whole_and_once(server: Server, store: Path, digest: str) -> None:
    remote = Remote(server.add("/dir/net", DATA), "net.h5", digest, len(DATA))
    assert fetch(remote) == store / "downloads" / "net.h5" == placed(remote)
    assert placed(remote).read_bytes() == DATA
    assert fetch(remote) == placed(remote)
    assert [one.method for one in server.requests] == ["GET"]
    assert left(remote) == {"net.h5", ".net.h5.verified"}
    assert server.requests[0].headers["User-Agent"] == "convatlas/0.1.0"
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
    assert said.endswith(f"; or put the file by hand at {placed(remote)}")
    assert left(remote) == {"first.h5", ".first.h5.lock", ".first.h5.verified"}
    assert server.count() == 2


def test_a_file_put_there_by_hand(server: Server, store: Path, readings: list[str]) -> None:
    remote = Remote(server.url + "/net", "net.h5", SHA256)
    put(placed(remote), DATA)
    for _ in range(3):
        assert fetch(remote) == placed(remote)
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
    put(placed(remote), data)
    for _ in range(2):
        said = refusal(remote)
        assert said.startswith(f"{placed(remote)} is not the file published at {remote.url}: ")
        assert said.endswith("; take it away")
        if size is None or len(data) == size:
            assert f"its sha256 is {hashlib.sha256(data).hexdigest()}, not {SHA256}" in said
        else:
            assert f"it has {len(data):,} bytes, not 256,000" in said
    assert placed(remote).read_bytes() == data
    assert server.count() == 0
    placed(remote).unlink()
    assert fetch(remote).read_bytes() == DATA


# What it remembers


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
        put(placed(remote), DATA)
    fetch(remote)
    change(placed(remote))
    assert "take it away" in refusal(remote)
    placed(remote).write_bytes(DATA)
    assert fetch(remote) == placed(remote)


def test_what_is_too_new_is_not_remembered(server: Server, store: Path, readings: list[str]) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    put(placed(remote), DATA, at=int(time.time()))
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
    text = f"convatlas: nobody publishes a hash of net.h5; its sha256 {SHA256} is pinned in {pins}\n"
    assert (said.out, said.err) == ("", text)
    assert json.loads(pins.read_text()) == {remote.url: SHA256}
    fetch(remote)
    fetch(remote, folder="again")
    assert capfd.readouterr().err == ""
    placed(remote).unlink()
    server.files["/net"].data = b"another"
    said_of_it = refusal(remote)
    assert f"not {SHA256} as on first use" in said_of_it
    assert str(pins) in said_of_it
    put(placed(remote), b"another")
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
    placed(remote).unlink()
    assert f"not {SHA256[:8] + '0' * 56} as on first use" in refusal(remote)


@pytest.mark.parametrize("digest", [SHA256, HASHES["md5"], HASHES["sha1"]])
def test_a_published_hash_needs_no_pin(server: Server, store: Path, digest: str) -> None:
    fetch(Remote(server.add("/net", DATA), "net.h5", digest))
    assert not (store / "pins.json").exists()


def test_what_is_put_there_by_hand_is_pinned(server: Server, store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    remote = Remote(server.url + "/net", "net.h5")
    put(placed(remote), DATA)
    fetch(remote)
    assert "is pinned in" in capfd.readouterr().err
    assert json.loads((store / "pins.json").read_text()) == {remote.url: SHA256}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"http://a/b": 3}', "\xff"])
def test_damaged_pins_are_not_thrown_away(server: Server, store: Path, text: str) -> None:
    store.mkdir()
    (store / "pins.json").write_bytes(text.encode("latin-1"))
    remote = Remote(server.add("/net", DATA), "net.h5")
    assert f"{store / 'pins.json'} is damaged" in refusal(remote)
    assert not placed(remote).exists()
    (store / "pins.json").unlink()
    assert fetch(remote).read_bytes() == DATA


def test_pins_of_many_processes_are_all_kept(server: Server, store: Path) -> None:
    addresses = [server.add(f"/{number}", DATA) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda url: fetch(Remote(url, f"net{url[-1]}.h5"), quiet=True), addresses))
    assert json.loads((store / "pins.json").read_text()) == dict.fromkeys(addresses, SHA256)


# That it asks once

FETCHES = """
import sys
from convatlas.base.store import Remote, fetch
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
    assert [out.strip() for out, _ in results] == [str(placed(remote))] * 10
    assert sum("is pinned" in err for _, err in results) == 1
    assert placed(remote).read_bytes() == DATA * 20
    assert server.count() == 1


def test_ten_threads_download_once(server: Server, store: Path) -> None:
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(fetch, [remote] * 10)) == {placed(remote)}
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
        "import os, sys\nfrom pathlib import Path\nfrom convatlas.base.store import locked\n"
        "with locked(Path(sys.argv[1])):\n print('held', flush=True)\n sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, placed(remote)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
    assert placed(remote).read_bytes() == DATA


def test_the_file_is_on_the_disk_before_it_gets_its_name(
    server: Server, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("fsync", "replace"):
        genuine = getattr(os, name)

        def noted(*given: Any, name: str = name, genuine: Any = genuine) -> Any:
            steps.append(name)
            return genuine(*given)

        monkeypatch.setattr(storing.os, name, noted)
    fetch(Remote(server.add("/net", DATA), "net.h5", SHA256))
    # What is resumable, the file, what was verified.
    assert steps == ["fsync", "replace"] * 3

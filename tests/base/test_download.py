"""Downloads that break off go on where they did, if that is sure to give the same file, and otherwise start again."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.servers import CERTIFICATE, Fault, File, Server
from tests.stores import DATA, SHA256, left, outcome, refusal, told

from convatlas.base.store import download, http
from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote, path_of

OTHER = bytes(reversed(DATA))
MONDAY, TUESDAY = "Mon, 05 Jan 2026 00:00:00 GMT", "Tue, 06 Jan 2026 00:00:00 GMT"


def ranges(server: Server) -> list[str]:
    """Where each request wanted the file from; "" for the whole."""
    return [one.headers.get("Range", "").removeprefix("bytes=").removesuffix("-") for one in server.requests]


def part(remote: Remote) -> Path:
    return path_of(remote).with_name(f".{remote.file}.part")


def broken_off(server: Server, path: str = "/net", digest: str = SHA256, cut: int = 1000, **how: Any) -> Remote:
    """A file of which an earlier call got the first bytes; from now on the server is good."""
    remote = Remote(server.add(path, DATA, faults=repeat(Fault(cut=cut)), **how), "net.h5", digest)
    said = refusal(remote)
    assert f"of {len(DATA):,} bytes (3 tries); or save the file as {path_of(remote)} yourself" in said
    assert not path_of(remote).exists()
    server.files[path].faults = ()
    server.requests.clear()
    return remote


# Going on


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("digest", [SHA256, ""], ids=["hash", "no hash"])
def test_within_a_call(server: Server, store: Path, framing: str, digest: str) -> None:
    faults = [Fault(cut=1000), Fault(cut=2000)]
    remote = Remote(server.add("/net", DATA, framing=framing, faults=faults), "net.h5", digest)
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server) == ["", "1000", "3000"]
    etag = server.files["/net"].marks()["ETag"]
    assert [one.headers.get("If-Range") for one in server.requests] == [None, etag, etag]


def test_in_the_next_call(server: Server, store: Path) -> None:
    remote = broken_off(server)
    assert part(remote).read_bytes() == DATA[:3000]
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server) == ["3000"]
    assert left(remote) == {"net.h5", ".net.h5.verified"}


def test_three_tries_and_no_more(server: Server, store: Path) -> None:
    remote = Remote(server.add("/net", DATA, faults=repeat(Fault(cut=1000))), "net.h5", SHA256)
    assert "the download broke off after 3,000 of 256,000 bytes (3 tries)" in refusal(remote)
    assert server.count() == 3


def test_a_process_that_is_killed_goes_on(server: Server, store: Path) -> None:
    faults = [Fault(cut=100_000, end="stall")]
    remote = Remote(server.add("/net", DATA, faults=faults), "net.h5", SHA256)
    code = (
        "import sys\nfrom convatlas.base.store.fetch import fetch\nfrom convatlas.base.store.remote import Remote\n"
        "fetch(Remote(*sys.argv[1:]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, remote.url, remote.file, remote.hash])
    while not part(remote).exists() or part(remote).stat().st_size < 50_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # What had not left the process's buffer is lost.
    got = part(remote).stat().st_size
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server) == ["", str(got)]


@pytest.mark.parametrize(("framing", "requests"), [("length", 1), ("chunked", 3)])
def test_what_was_whole_but_not_yet_verified(
    server: Server, store: Path, monkeypatch: pytest.MonkeyPatch, framing: str, requests: int
) -> None:
    """It is not asked again, if its length is known; if not, there is nothing after it, and all of it is taken."""
    remote = Remote(server.add("/net", DATA, framing=framing), "net.h5", SHA256)
    with monkeypatch.context() as patch:
        patch.setattr("convatlas.base.store.fetch.mismatch", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch(remote)
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server) == ["", "256000", ""][:requests]


def test_by_the_date_where_there_is_no_strong_mark(server: Server, store: Path) -> None:
    remote = broken_off(server, etag='W/"1"', modified=MONDAY)
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server) == ["3000"]
    assert server.requests[0].headers["If-Range"] == MONDAY


# Starting again


def changed_mark(file: File) -> None:
    file.data, file.etag = OTHER, '"2"'


def changed_weak_mark(file: File) -> None:
    file.data, file.etag = OTHER, 'W/"2"'


def changed_date(file: File) -> None:
    file.data, file.modified = OTHER, TUESDAY


def changed_length(file: File) -> None:
    file.data = OTHER + b"\0"


def lost_mark(file: File) -> None:
    file.data, file.etag = OTHER, ""


@pytest.mark.parametrize("conditions", [True, False], ids=["minds If-Range", "does not"])
@pytest.mark.parametrize("change", [changed_mark, changed_weak_mark, changed_date, changed_length, lost_mark])
def test_if_the_file_has_changed(server: Server, store: Path, change: Any, conditions: bool) -> None:
    """Without a published hash, so that nothing else would find out; a new length is told even by the old mark."""
    etag = {changed_weak_mark: 'W/"1"', changed_date: ""}.get(change, '"1"')
    remote = broken_off(server, digest="", etag=etag, modified=MONDAY, conditions=conditions)
    change(server.files["/net"])
    assert fetch(remote).read_bytes() == server.files["/net"].data
    assert ranges(server) in (["3000"], ["3000", ""])


@pytest.mark.parametrize("how", [{"etag": ""}, {"etag": 'W/"1"'}], ids=["no mark", "weak mark"])
def test_if_nothing_says_exactly_which_version_it_is(server: Server, store: Path, how: dict[str, str]) -> None:
    remote = broken_off(server, **how, digest="", cut=1000)
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server) == [""]


def test_if_the_server_cannot_go_on(server: Server, store: Path) -> None:
    remote = broken_off(server)
    server.files["/net"].ranges = False
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server) == ["3000"]


def test_if_what_was_there_is_spoilt(server: Server, store: Path) -> None:
    """As after a failure of power: its length is right, its bytes are not."""
    remote = broken_off(server)
    part(remote).write_bytes(bytes(3000))
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server) == ["3000", ""]


def test_if_what_was_there_is_of_another_address(server: Server, store: Path) -> None:
    remote = broken_off(server)
    server.add("/other", DATA)
    other = Remote(f"{server.url}/other", remote.file, remote.hash)
    assert fetch(other).read_bytes() == DATA
    assert ranges(server) == [""]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", "null", '{"url": 1, "etag": 2, "modified": 3, "total": "4"}', "[" * 100_000],
)
def test_if_the_note_of_what_was_there_is_damaged(server: Server, store: Path, text: str) -> None:
    remote = broken_off(server)
    part(remote).with_name(".net.h5.part.json").write_text(text)
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server) == [""]


@pytest.mark.parametrize("field", ["url", "etag", "modified", "total"])
@pytest.mark.parametrize("value", [None, 0, -1, "x", [], {}, True])
def test_whatever_the_note_holds(server: Server, store: Path, field: str, value: object) -> None:
    remote = broken_off(server)
    note = part(remote).with_name(".net.h5.part.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {field: value}))
    assert fetch(remote).read_bytes() == DATA


def test_if_more_was_there_than_the_file_has(server: Server, store: Path) -> None:
    remote = broken_off(server)
    part(remote).write_bytes(DATA + b"more")
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server) == [""]


CUTS = st.lists(st.tuples(st.integers(0, 40_000), st.sampled_from(["close", "reset"])), max_size=9)


@settings(max_examples=50, deadline=None)
@given(cuts=CUTS, framing=st.sampled_from(["length", "chunked"]), digest=st.sampled_from(["", "sha256"]))
def test_wherever_it_breaks_off(cuts: list[tuple[int, Any]], framing: Any, digest: str) -> None:
    data = DATA[:40_000]
    faults = [Fault(cut=cut, end=end) for cut, end in cuts]
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        Server() as server,
    ):
        patch.setenv("CONVATLAS_HOME", folder)
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setattr(download, "PAUSE", 0)
        url = server.add("/net", data, framing=framing, faults=faults)
        remote = Remote(url, "net.h5", digest and hashlib.sha256(data).hexdigest())
        for _ in range(len(cuts) // 3 + 1):
            found = outcome(remote)
            if found == data:
                break
            assert not path_of(remote).exists()
        assert found == data


# Trying again


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(server: Server, store: Path, status: int) -> None:
    faults = [Fault(status=status)] * 2
    remote = Remote(server.add("/net", DATA, faults=faults), "net.h5", SHA256)
    assert fetch(remote).read_bytes() == DATA
    assert server.count() == 3


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_server_that_hangs_up_without_an_answer_is_asked_again(server: Server, store: Path, end: Any) -> None:
    faults = [Fault(cut=0, end=end)] * 2
    remote = Remote(server.add("/net", DATA, faults=faults), "net.h5", SHA256)
    assert fetch(remote).read_bytes() == DATA


def test_it_waits_longer_each_time(server: Server, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(download, "PAUSE", 1.0)
    monkeypatch.setattr(time, "sleep", waited.append)
    remote = Remote(server.add("/net", DATA, faults=repeat(Fault(status=503))), "net.h5", SHA256)
    assert "503 Service Unavailable (3 tries)" in refusal(remote)
    assert waited == [1.0, 2.0]


def test_sockets_have_a_time_out() -> None:
    assert http.TIMEOUT == 30


def test_a_server_that_falls_silent(server: Server, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.5)
    faults = [Fault(cut=1000, end="stall")]
    remote = Remote(server.add("/net", DATA, faults=faults), "net.h5", SHA256)
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server) == ["", "1000"]


# The way there


def test_through_a_proxy(server: Server, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.add("/net", DATA)
    remote = Remote("http://weights.invalid/net", "net.h5", SHA256)
    assert fetch(remote).read_bytes() == DATA
    assert server.requests[0].path == "http://weights.invalid/net"


def test_certificates_are_verified(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    # As some do, to be rid of the message.
    monkeypatch.setattr(ssl, "_create_default_https_context", ssl._create_unverified_context)
    with Server(secure=True) as server:
        remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
        assert "its certificate is invalid (self-signed certificate)" in refusal(remote)
        assert server.count() == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert fetch(remote).read_bytes() == DATA
        # It is for localhost.
        named_otherwise = Remote(remote.url.replace("localhost", "127.0.0.1"), "other.h5", SHA256)
        assert "its certificate is invalid (" in refusal(named_otherwise)


def test_redirects_are_followed(server: Server, store: Path) -> None:
    server.add("/net", DATA)
    server.add("/9", b"", location=server.url + "/net")
    for number in range(9):
        server.add(f"/{number}", b"", location=f"{number + 1}?signed=a%20b")
    assert fetch(Remote(server.url + "/0", "net.h5", SHA256)).read_bytes() == DATA
    assert server.count() == 11
    assert server.requests[1].path == "/1?signed=a%20b"


def test_it_goes_on_behind_a_redirect(server: Server, store: Path) -> None:
    server.add("/storage", DATA, faults=repeat(Fault(cut=1000)))
    remote = Remote(server.add("/net", b"", location="/storage"), "net.h5", SHA256)
    refusal(remote)
    server.files["/storage"].faults = ()
    assert fetch(remote).read_bytes() == DATA
    assert ranges(server)[-2:] == ["3000", "3000"]


def test_from_the_hub(server: Server, store: Path) -> None:
    endpoint = server.hub("timm/resnet50.a1_in1k", {"model.safetensors": DATA})
    remote = Remote(f"{endpoint}/timm/resnet50.a1_in1k/resolve/main/model.safetensors", "net.safetensors", SHA256)
    assert fetch(remote).read_bytes() == DATA


# The network is not there


def test_offline(server: Server, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    remote = Remote(server.add("/net", DATA), "net.h5", SHA256)
    assert refusal(remote) == (
        f"cannot download {remote.url}: CONVATLAS_OFFLINE forbids it; unset it; "
        f"or save the file as {store}/downloads/net.h5 yourself"
    )
    assert server.count() == 0
    assert not store.exists()


def test_no_such_host(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any, **more: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    assert told(Remote("http://weights.invalid/net", "net.h5")) == "Name or service not known"


def test_nobody_listens(server: Server, store: Path) -> None:
    url = server.url
    server.close()
    assert told(Remote(f"{url}/net", "net.h5")) == "Connection refused"


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (400, " Bad Request"),
        (401, " Unauthorized"),
        (403, " Forbidden"),
        (404, " Not Found"),
        (410, " Gone"),
        (499, ""),
        (304, " Not Modified"),
    ],
)
def test_what_the_server_refuses_is_not_asked_again(server: Server, store: Path, status: int, phrase: str) -> None:
    remote = Remote(server.add("/net", DATA, faults=repeat(Fault(status=status))), "net.h5", SHA256)
    assert told(remote) == f"the server responds {status}{phrase}"
    assert server.count() == 1


def test_nothing_comes(server: Server, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
    remote = Remote(server.add("/net", DATA, faults=repeat(Fault(cut=0, end="stall"))), "net.h5", SHA256)
    assert told(remote) == "the download broke off: no data for 0.3 s (3 tries)"


def test_no_answer_comes(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(http, "TIMEOUT", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        remote = Remote(f"http://127.0.0.1:{silent.getsockname()[1]}/net", "net.h5")
        assert told(remote) == "no response from the server: no data for 0.1 s (3 tries)"

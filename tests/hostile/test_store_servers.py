"""Whatever a server sends: the published file, or one clear line and nothing under the file's name."""

from __future__ import annotations

import hashlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.servers import CERTIFICATE, Fault, Server
from tests.stores import DATA, SHA256, left, outcome, refusal, told

from convatlas.base.errors import StoreError
from convatlas.base.store import download, http
from convatlas.base.store.fetch import fetch
from convatlas.base.store.http import redirected
from convatlas.base.store.remote import Remote, path_of

# Lengths that lie


@pytest.mark.parametrize("digest", [SHA256, ""], ids=["hash", "no hash"])
@pytest.mark.parametrize("size", [None, len(DATA)])
def test_an_answer_that_never_comes_whole(server: Server, store: Path, digest: str, size: int | None) -> None:
    """More is announced than there is, every time: asked three times, and given up."""
    url = server.add("/net", DATA[:-1], faults=repeat(Fault(length=len(DATA))), ranges=False)
    remote = Remote(url, "net.h5", digest, size)
    assert told(remote) == "the download broke off after 255,999 of 256,000 bytes (3 tries)"
    assert server.count() == 3


def test_more_than_is_announced_is_not_read(server: Server, store: Path) -> None:
    remote = Remote(server.add("/net", DATA, faults=[Fault(length=1000)]), "net.h5", SHA256)
    assert f"its sha256 is {hashlib.sha256(DATA[:1000]).hexdigest()}, not {SHA256}" in told(remote)
    assert left(remote) == set()


@pytest.mark.parametrize("framing", ["length", "chunked", "open"])
@pytest.mark.parametrize("digest", [SHA256, ""], ids=["hash", "no hash"])
@pytest.mark.parametrize(("size", "text"), [(len(DATA) - 1, "255,999"), (0, "0")])
def test_longer_than_published(server: Server, store: Path, framing: str, digest: str, size: int, text: str) -> None:
    remote = Remote(server.add("/net", DATA, framing=framing), "net.h5", digest, size)
    announced = f"the server announces 256,000 bytes, not {text}"
    assert told(remote) == (announced if framing == "length" else f"the server sends more than {text} bytes")
    assert left(remote) == set()
    assert server.count() == 1


@pytest.mark.parametrize("framing", ["chunked", "open"])
def test_shorter_than_published(server: Server, store: Path, framing: str) -> None:
    remote = Remote(server.add("/net", DATA, framing=framing, ranges=False), "net.h5", "", len(DATA) + 1)
    assert told(remote) == "the download broke off after 256,000 of 256,001 bytes (3 tries)"


@pytest.mark.parametrize("framing", ["chunked", "open"])
@pytest.mark.parametrize("size", [None, 300_000])
def test_an_endless_answer(
    server: Server, store: Path, monkeypatch: pytest.MonkeyPatch, framing: str, size: int | None
) -> None:
    monkeypatch.setattr(download, "LIMIT", 1_000_000)
    faults = repeat(Fault(endless=True))
    remote = Remote(server.add("/net", DATA, framing=framing, faults=faults), "net.h5", SHA256, size)
    assert told(remote) == f"the server sends more than {size or 1_000_000:,} bytes"
    assert left(remote) == set()
    assert server.count() == 1


def test_four_gibibytes_at_most(server: Server, store: Path) -> None:
    assert download.LIMIT == 4 * 1024**3
    remote = Remote(server.add("/net", DATA, faults=repeat(Fault(length=2**32 + 1))), "net.h5", SHA256)
    assert told(remote) == "the server announces 4,294,967,297 bytes; the most allowed is 4,294,967,296"


@pytest.mark.parametrize("length", ["-1", "x", "", "1e9", "9" * 5000, "0x10", "256000, 256000", "256000\r\nX: 1"])
def test_a_length_that_is_no_number(server: Server, store: Path, length: str) -> None:
    """The end of the connection is the end of the file then; its hash tells whether that was right."""
    url = server.add("/net", DATA, faults=repeat(Fault(length=length)))
    assert fetch(Remote(url, "net.h5", SHA256)).read_bytes() == DATA
    if length != "256000\r\nX: 1":
        without = Remote(url, "other.h5")
        assert told(without) == "the server does not say how long the file is, and no hash is published"


def test_an_open_end_needs_a_hash_or_a_size(server: Server, store: Path) -> None:
    url = server.add("/net", DATA, framing="open")
    assert "does not say how long the file is" in told(Remote(url, "net.h5"))
    assert not (store / "pins.json").exists()
    assert fetch(Remote(url, "net.h5", "", len(DATA))).read_bytes() == DATA


# Another file


@pytest.mark.parametrize("other", [b"", b"<html>log in first</html>", DATA[:-1], DATA + b"\0"])
def test_another_file(server: Server, store: Path, other: bytes) -> None:
    remote = Remote(server.add("/net", DATA, faults=repeat(Fault(data=other))), "net.h5", SHA256)
    assert told(remote) == (
        f"the server sends another file: its sha256 is {hashlib.sha256(other).hexdigest()}, not {SHA256}"
    )
    assert left(remote) == set()
    assert server.count() == 1


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip"])
def test_a_packed_file(server: Server, store: Path, coding: str) -> None:
    faults = repeat(Fault(headers={"Content-Encoding": coding}))
    assert told(Remote(server.add("/net", DATA, faults=faults), "net.h5")) == (
        "the server sends the file compressed, which was not requested"
    )


@pytest.mark.parametrize("status", [201, 204, 205, 206, 226, 299])
def test_a_status_that_is_no_file(server: Server, store: Path, status: int) -> None:
    remote = Remote(server.add("/net", DATA, faults=repeat(Fault(status=status))), "net.h5")
    assert told(remote) == f"the server responds {status}, which is not a whole file"


@pytest.mark.parametrize(
    "span",
    [
        "",
        "bytes",
        "bytes 0-255999/256000",
        "bytes 3001-255999/256000",
        "bytes 3000-255999/*",
        "bytes -1-2/3",
        "bytes 3000-255999/" + "9" * 5000,
        "items 3000-255999/256000",
        "bytes 3000-255999/256001",
    ],
)
def test_a_rest_that_is_another(server: Server, store: Path, span: str) -> None:
    """Without a published hash, so that nothing else would find out."""
    url = server.add("/net", DATA, faults=repeat(Fault(cut=1000)))
    refusal(remote := Remote(url, "net.h5"))
    server.files["/net"].faults = [Fault(span=span, data=bytes(len(DATA)))]
    assert fetch(remote).read_bytes() == DATA


def test_a_rest_that_lies_about_the_bytes(server: Server, store: Path) -> None:
    """All headers are right, and the file goes on with other bytes: found out, and the whole is taken."""
    remote = Remote(server.add("/net", DATA, faults=repeat(Fault(cut=1000))), "net.h5", SHA256)
    refusal(remote)
    server.files["/net"].faults = [Fault(data=bytes(len(DATA)))]
    assert fetch(remote).read_bytes() == DATA


# Redirects


def test_more_than_ten_redirects(server: Server, store: Path) -> None:
    for number in range(20):
        server.add(f"/{number}", b"", location=f"/{number + 1}")
    assert told(Remote(server.url + "/0", "net.h5")) == "the server redirects more than 10 times"
    assert server.count() == 11


# All of these are relative to the address that was asked.
@pytest.mark.parametrize(
    "location", ["/net", "net", "#there", "//{host}/net", "http://{host}/net#a", "http:", "http:///net"]
)
def test_a_circle(server: Server, store: Path, location: str) -> None:
    headers = {"Location": location.format(host=server.url.removeprefix("http://"))}
    remote = Remote(server.add("/net", DATA, faults=repeat(Fault(status=302, headers=headers))), "net.h5")
    assert told(remote) == "the server redirects in a circle"
    assert server.count() == 1


def test_a_wider_circle(server: Server, store: Path) -> None:
    for number in range(3):
        server.add(f"/{number}", b"", location=f"/{(number + 1) % 3}")
    assert told(Remote(server.url + "/0", "net.h5")) == "the server redirects in a circle"
    assert server.count() == 3


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "ftp://127.0.0.1/net",
        "data:,x",
        "",
        "javascript:alert(1)",
        "gopher://a/b",
        "http://[::1",
        "http://[x]/",
        "jar:http://a!/b",
        "C:\\weights\\net.h5",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_to_what_is_no_web_address(server: Server, store: Path, location: str, status: int) -> None:
    fault = Fault(status=status, headers={"Location": location})
    remote = Remote(server.add("/net", DATA, faults=repeat(fault)), "net.h5")
    assert told(remote) == f"the server redirects to {location!r}, which is not a web address"


@pytest.mark.parametrize(
    "location", ["http://a b/", "http://\x1b[31m/", "http://x:port/", "http://\xff/", "http://a:99999/"]
)
def test_redirects_to_what_cannot_be_asked(server: Server, store: Path, location: str) -> None:
    fault = Fault(status=302, headers={"Location": location})
    assert told(Remote(server.add("/net", DATA, faults=repeat(fault)), "net.h5"))


def test_from_https_to_http() -> None:
    secure = "https://weights.example/dir/net"
    for open_host in ("weights.example", "127.0.0.1.example", "localhost.example", "10.0.0.1", "[::2]"):
        with pytest.raises(StoreError, match="from https to http"):
            redirected(secure, f"http://{open_host}/net")
    for loopback in ("localhost", "127.0.0.1", "127.1.2.3", "[::1]"):
        assert redirected(secure, f"http://{loopback}/net") == f"http://{loopback}/net"
    assert redirected(secure, "//cdn.example/net") == "https://cdn.example/net"
    assert redirected(secure, "other?a=b%20c#d") == "https://weights.example/dir/other?a=b%20c"
    assert redirected("http://weights.example", "HTTP://cdn.example/net") == "http://cdn.example/net"


def test_from_https_to_http_on_the_wire(server: Server, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with Server(secure=True) as secure:
        remote = Remote(secure.add("/net", b"", location="http://weights.invalid/net"), "net.h5", SHA256)
        assert told(remote) == "the server redirects from https to http, at 'weights.invalid'"
        secure.files["/net"].location = server.add("/net", DATA)
        assert fetch(remote).read_bytes() == DATA


# Servers that do not speak HTTP


class Raw:
    """Answers every connection with the same bytes, whatever is asked."""

    def __init__(self) -> None:
        self.answer = b""
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    while b"\r\n\r\n" not in connection.recv(65536):
                        pass
                    connection.sendall(self.answer)
                except OSError:
                    pass

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture(scope="module")
def raw() -> Iterator[Raw]:
    one = Raw()
    yield one
    one.close()


LINE = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "no line": b"\0" * 1000,
    "a long line": b"HTTP/1.1 200 " + b"x" * 100_000,
    "no number": b"HTTP/1.1 two OK\r\n\r\n",
    "a small number": b"HTTP/1.1 099 OK\r\n\r\n",
    "a large number": b"HTTP/1.1 1000 OK\r\n\r\n",
    "another number": b"HTTP/1.1 999 \x1b[31mred\x1b[0m\r\n\r\n",
    "many headers": LINE + b"A: b\r\n" * 1000 + b"\r\n",
    "a long header": LINE + b"A: " + b"x" * 100_000 + b"\r\n\r\n",
    "broken headers": LINE + b"Content-Le",
    "a bad chunk": LINE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "a negative chunk": LINE + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n0\r\n\r\n",
    "a huge chunk": LINE + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
    "a chunk without end": LINE + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 100_000,
    "no last chunk": LINE + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "no digit of a chunk": LINE + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n\r\n",
    "a redirect to nowhere": b"HTTP/1.1 302 Found\r\n\r\n",
    "only continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 10,
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("digest", [SHA256, ""], ids=["hash", "no hash"])
def test_what_is_no_answer(raw: Raw, store: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, digest: str) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    raw.answer = answer
    assert told(Remote(raw.url + "/net", "net.h5", digest))


HEADERS = st.lists(
    st.sampled_from(
        [
            b"Content-Length: 40",
            b"Content-Length: 39",
            b"Content-Length: 0",
            b"Content-Length: -3",
            b"Content-Length:",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip",
            b"Content-Encoding: gzip",
            b'ETag: "1"',
            b"ETag: 1",
            b"Content-Range: bytes 0-39/40",
            b"Content-Range: bytes 5-39/40",
            b"Location: /net",
            b"Location: file:/a",
            b"Last-Modified: \xff",
            b"Last-Modified: Mon",
            b"Connection: keep-alive",
            b"\x1b: \x07",
            b" folded",
            b"no colon",
        ]
    ),
    max_size=5,
)
BODY = bytes(range(40))
BODIES = st.one_of(
    st.just(BODY),
    st.integers(0, 40).map(lambda cut: BODY[:cut]),
    st.just(b"28\r\n" + BODY + b"\r\n0\r\n\r\n"),
    st.just(b"5\r\n" + BODY[:5] + b"\r\n23\r\n" + BODY[5:] + b"\r\n0\r\n\r\n"),
    st.integers(0, 50).map(lambda cut: (b"28\r\n" + BODY + b"\r\n0\r\n\r\n")[:cut]),
    st.binary(max_size=60),
)
STATUS = st.sampled_from([b"200", b"206", b"204", b"301", b"302", b"308", b"404", b"416", b"503", b"100", b"xxx"])


@settings(max_examples=150, deadline=None)
@given(status=STATUS, headers=HEADERS, body=BODIES, hashed=st.booleans())
def test_whatever_is_answered(raw: Raw, status: bytes, headers: list[bytes], body: bytes, hashed: bool) -> None:
    """The right file, or one line; without a hash at least a file that ended where its answer said."""
    raw.answer = b"\r\n".join([b"HTTP/1.1 " + status + b" \x1b[1m", *headers, b"", b""]) + body
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVATLAS_HOME", folder)
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setattr(download, "PAUSE", 0)
        patch.setattr(http, "TIMEOUT", 5)
        digest = hashlib.sha256(BODY).hexdigest() if hashed else ""
        remote = Remote(raw.url + "/net", "net.h5", digest)
        found = outcome(remote)
        if isinstance(found, str):
            assert not path_of(remote).exists()
        else:
            assert found == BODY if hashed else status == b"200"

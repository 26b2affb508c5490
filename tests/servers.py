"""An HTTP server on this machine that publishes files, counts who asks, and can misbehave in every way that servers do.

    with Server() as server:
        url = server.add("/weights/net.h5", data)                       # as any good server: ranges, ETag
        server.add("/slow.h5", data, faults=[Fault(cut=1000)] * 2)      # the first two answers break off
        server.add("/gone.h5", b"", faults=repeat(Fault(status=503)))   # every answer (itertools.repeat)
        server.hub("timm/resnet50.a1_in1k", {"model.safetensors": data})
        ...
        assert server.count("/weights/net.h5") == 1

As a fixture it is `server`. It is a proxy too (`http_proxy` set to `server.url`): of an address only the path counts.
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import pytest

CERTIFICATE = Path(__file__).parent / "localhost.pem"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer.

    Attributes:
        status: The answer has this status and a short page, not the file.
        cut: The connection is closed after so many bytes of the body.
        end: How that is done: with an orderly "close", a "reset", or not at all, the server falling silent ("stall").
        length: What Content-Length says; with more than there is, the body ends where it ends.
        span: What Content-Range says of an answer from the middle.
        data: Another file is sent, under the ETag of the right one.
        endless: The body never ends.
        headers: Sent in addition, as they stand here.
    """

    status: int = 0
    cut: int | None = None
    end: Literal["close", "reset", "stall"] = "close"
    length: str | int | None = None
    span: str | None = None
    data: bytes | None = None
    endless: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


GOOD = Fault()
PIECE = 1 << 16


@dataclass
class File:
    """A published file and how it is served; every field may be changed between two requests.

    Attributes:
        data: Its bytes.
        etag: Its ETag; "" for none, None for a strong one made of the data.
        modified: Its Last-Modified; "" for none.
        ranges: Whether the server goes on from the middle when it is asked to.
        conditions: Whether it then minds If-Range.
        location: Where every answer redirects to, as it stands here, instead of sending the file.
        framing: How an answer says where it ends: by its "length", "chunked", or not at all ("open").
        faults: What goes wrong with the next GETs, one each; afterwards all is good. `repeat(fault)` is for ever.
        headers: Sent with every answer.
    """

    data: bytes
    etag: str | None = None
    modified: str = ""
    ranges: bool = True
    conditions: bool = True
    location: str = ""
    framing: Literal["length", "chunked", "open"] = "length"
    faults: Iterable[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def next_fault(self) -> Fault:
        """The fault of the next GET."""
        self.faults = iter(self.faults)
        return next(self.faults, GOOD)

    def marks(self) -> dict[str, str]:
        """The headers that say which version of the file this is."""
        etag = f'"{hashlib.sha256(self.data).hexdigest()[:32]}"' if self.etag is None else self.etag
        return {name: value for name, value in (("ETag", etag), ("Last-Modified", self.modified)) if value}


@dataclass(frozen=True)
class Asked:
    """One request, as it came; `path` is its whole target, an address if the server was asked as a proxy."""

    method: str
    path: str
    headers: Mapping[str, str]


class Server:
    """Serves `files` (path to file, all of it changeable at any time) on 127.0.0.1 until it is closed."""

    def __init__(self, secure: bool = False) -> None:
        """Starts it; a `secure` one speaks TLS and shows `CERTIFICATE`, which is for localhost and signed by itself."""
        self.files: dict[str, File] = {}
        self.requests: list[Asked] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._http = _Http(self)
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        host = "https://localhost" if secure else "http://127.0.0.1"
        self.url = f"{host}:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *given: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, answers that stall included."""
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def add(self, path: str, data: bytes, **how: Any) -> str:
        """Publishes a file (`how` are `File`'s fields) and returns its address."""
        self.files[path] = File(data, **how)
        return self.url + path

    def hub(self, repo: str, files: Mapping[str, bytes], revision: str = "main") -> str:
        """Publishes files as the Hugging Face hub does and returns the endpoint.

        They are at `/<repo>/resolve/<revision or commit>/<file>`. Answers there have no body: they redirect to the
        storage, which is another host (`localhost`), and say in their headers what the file is.
        """
        commit = hashlib.sha1(repr((repo, revision, sorted(files.items()))).encode()).hexdigest()
        for name, data in files.items():
            sha256 = hashlib.sha256(data).hexdigest()
            self.add(f"/storage/{sha256}", data)
            about = {"X-Repo-Commit": commit, "X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(data))}
            location = f"http://localhost:{self._http.server_port}/storage/{sha256}"
            for version in (revision, commit):
                self.add(f"/{repo}/resolve/{version}/{name}", data, location=location, headers=about)
        return self.url

    def count(self, path: str = "", method: str = "GET") -> int:
        """How many requests there were: all, or those for `path`."""
        with self.lock:
            return sum(asked.method == method and path in ("", urlsplit(asked.path).path) for asked in self.requests)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, owner: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, format: str, *args: object) -> None:
        """Tests have no use for it."""

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        owner = self.server.owner
        with owner.lock:
            owner.requests.append(Asked(self.command, self.path, dict(self.headers)))
            file = owner.files.get(unquote(urlsplit(self.path).path))
            fault = file.next_fault() if file is not None and self.command == "GET" else GOOD
        if file is None:
            self._page(404, {})
        elif file.location:
            self._page(302, {"Location": file.location, **file.headers})
        elif fault.status:
            self._page(fault.status, fault.headers)
        else:
            self._file(file, fault)

    def _page(self, status: int, headers: Mapping[str, str]) -> None:
        self._head(status, {"Content-Length": "6", **headers})
        if self.command == "GET":
            self.wfile.write(b"a page")

    def _file(self, file: File, fault: Fault) -> None:
        data = file.data if fault.data is None else fault.data
        headers = {**file.marks(), **file.headers}
        start = self._start(file)
        if start is not None and start >= len(data):
            self._page(416, {"Content-Range": f"bytes */{len(data)}", **headers})
            return
        if start is not None:
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            headers["Content-Range"] = span if fault.span is None else fault.span
        body = data[start or 0 :]
        if file.framing == "length":
            headers["Content-Length"] = str(len(body) if fault.length is None else fault.length)
        elif file.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        self._head(200 if start is None else 206, {**headers, **fault.headers})
        if self.command == "GET":
            self._body(body[: fault.cut], file.framing == "chunked", fault)

    def _start(self, file: File) -> int | None:
        """The byte from which the client wants the file and may have it; None for all of it."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range") if file.conditions else None
        if asked is None or not file.ranges or (condition is not None and condition not in file.marks().values()):
            return None
        return int(asked[1])

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, body: bytes, chunked: bool, fault: Fault) -> None:
        def send(piece: bytes) -> None:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)

        for begin in range(0, len(body), PIECE):
            send(body[begin : begin + PIECE])
        while fault.endless and not self.server.owner.closing.is_set():
            send(bytes(PIECE))
        if fault.cut is None:
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        elif fault.end == "stall":
            self.server.owner.closing.wait()
        elif fault.end == "reset":
            # With nothing to linger for, closing sends a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that is there for one test; no proxy of the environment comes between."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    with Server() as one:
        yield one

"""The tests' own server does what it says, to clients that are not ours: urllib and huggingface_hub."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from itertools import repeat
from pathlib import Path

import huggingface_hub
import pytest
from tests.servers import Fault, Server

DATA = bytes(range(256)) * 1000


def get(url: str, headers: Mapping[str, str] = {}) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body, whatever the status."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=5) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_a_good_server(server: Server) -> None:
    url = server.add("/a/b.bin", DATA, modified="Mon, 05 Jan 2026 00:00:00 GMT")
    status, headers, body = get(url)
    assert (status, body) == (200, DATA)
    assert headers["Content-Length"] == str(len(DATA))
    assert headers["Last-Modified"].startswith("Mon")
    assert get(server.url + "/b.bin")[0] == 404
    assert (server.count(), server.count("/a/b.bin"), server.count("/a/b.bin", "HEAD")) == (2, 1, 0)
    assert server.requests[0].headers["User-Agent"].startswith("Python-urllib")


def test_it_goes_on_from_the_middle(server: Server) -> None:
    url = server.add("/b.bin", DATA)
    etag = get(url)[1]["ETag"]
    status, headers, body = get(url, {"Range": "bytes=1000-"})
    assert (status, body) == (206, DATA[1000:])
    assert headers["Content-Range"] == f"bytes 1000-{len(DATA) - 1}/{len(DATA)}"
    assert get(url, {"Range": "bytes=1000-", "If-Range": etag})[0] == 206
    assert get(url, {"Range": "bytes=1000-", "If-Range": '"other"'})[::2] == (200, DATA)
    assert get(url, {"Range": f"bytes={len(DATA)}-"})[0] == 416
    server.files["/b.bin"].ranges = False
    assert get(url, {"Range": "bytes=1000-"})[::2] == (200, DATA)


@pytest.mark.parametrize("framing", ["length", "chunked", "open"])
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one", "many"])
def test_each_framing(server: Server, framing: str, data: bytes) -> None:
    status, headers, body = get(server.add("/b.bin", data, framing=framing))
    assert (status, body) == (200, data)
    assert ("Content-Length" in headers) == (framing == "length")
    assert ("Transfer-Encoding" in headers) == (framing == "chunked")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_answers_break_off_as_often_as_told(server: Server, framing: str) -> None:
    url = server.add("/b.bin", DATA, framing=framing, faults=[Fault(cut=1000)] * 2)
    for _ in range(2):
        with pytest.raises(http.client.IncompleteRead) as error:
            get(url)
        assert len(error.value.partial) == 1000
    assert get(url)[2] == DATA


def test_other_faults(server: Server) -> None:
    faults = [
        Fault(cut=1000, end="reset"),
        Fault(length=len(DATA) + 1),
        Fault(data=b"other"),
        Fault(status=503, headers={"Retry-After": "7"}),
        Fault(cut=1000, end="stall"),
    ]
    url = server.add("/b.bin", DATA, faults=faults)
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        get(url)
    with pytest.raises(http.client.IncompleteRead):
        get(url)
    assert get(url)[2] == b"other"
    status, headers, _ = get(url)
    assert (status, headers["Retry-After"]) == (503, "7")
    with pytest.raises(TimeoutError), urllib.request.urlopen(url, timeout=0.2) as answer:
        answer.read()
    assert get(url)[2] == DATA
    server.files["/b.bin"].faults = repeat(Fault(endless=True, length=""))
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert len(answer.read(len(DATA) * 10)) == len(DATA) * 10


def test_redirects(server: Server) -> None:
    server.add("/b.bin", DATA)
    assert get(server.add("/a", b"", location="/b.bin"))[2] == DATA
    assert get(server.add("/c", b"", location=server.url + "/a"))[2] == DATA


def test_the_hub_as_its_own_client_sees_it(server: Server, tmp_path: Path) -> None:
    endpoint = server.hub("timm/resnet50.a1_in1k", {"model.safetensors": DATA, "config.json": b"{}"})
    url = huggingface_hub.hf_hub_url("timm/resnet50.a1_in1k", "model.safetensors", endpoint=endpoint)
    assert url == f"{endpoint}/timm/resnet50.a1_in1k/resolve/main/model.safetensors"
    about = huggingface_hub.get_hf_file_metadata(url)
    assert about.etag == hashlib.sha256(DATA).hexdigest()
    assert about.size == len(DATA)
    assert server.count(method="GET") == 0
    pinned = huggingface_hub.hf_hub_url(
        "timm/resnet50.a1_in1k", "model.safetensors", endpoint=endpoint, revision=about.commit_hash
    )
    assert huggingface_hub.get_hf_file_metadata(pinned).etag == about.etag
    assert get(url)[2] == get(pinned)[2] == DATA
    path = huggingface_hub.hf_hub_download(
        "timm/resnet50.a1_in1k", "model.safetensors", endpoint=endpoint, cache_dir=tmp_path
    )
    assert Path(path).read_bytes() == DATA


def test_the_hub_lacks_what_was_not_put_there(server: Server) -> None:
    endpoint = server.hub("timm/resnet50.a1_in1k", {"config.json": b"{}"})
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError):
        huggingface_hub.get_hf_file_metadata(f"{endpoint}/timm/resnet50.a1_in1k/resolve/main/model.safetensors")

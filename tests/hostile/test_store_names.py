"""Whatever the names, addresses and hashes: nothing is read, written or asked outside of what they may say."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.servers import Server
from tests.stores import DATA, SHA256, told

from convatlas.base.errors import StoreError
from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote, path_of


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "C:x",
        "c:\\x",
        "\\\\host\\x",
        "a\0",
        "a\nb",
        "a b",
        "a:stream",
        ".hidden",
        ".net.h5.part",
        "net.",
        "net ",
        "nüt.h5",
        "\u202egpj.h5",
        "~",
        "$HOME",
        "a*",
        "a?",
        "x" * 201,
        "\udcff",
        "con",
        "NUL",
        "nul.h5",
        "Com1",
        "lpt9.tar.gz",
        "PRN.",
        "aux.x",
    ],
)
def test_names_that_climb_out(store: Path, name: str) -> None:
    with pytest.raises(StoreError, match="the store cannot hold ") as error:
        Remote("http://127.0.0.1/net", name)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500
    remote = Remote("http://127.0.0.1/net", "net.h5")
    for folder in {name, f"downloads/{name}", f"{name}/downloads"} - {"a/b", "downloads/a/b", "a/b/downloads"}:
        for function in (path_of, fetch):
            with pytest.raises(StoreError, match="the store cannot hold "):
                function(remote, folder)
    assert not store.exists()


@pytest.mark.parametrize(
    "name", ["net.h5", "a", "_", "-", "resnet50-0676ba61.pth", "console", "com10", "nulls.h5", "x" * 200]
)
def test_names_that_do_not(server: Server, store: Path, name: str) -> None:
    assert fetch(Remote(server.add("/net", DATA), name, SHA256), "a/b").relative_to(store) == Path("a", "b", name)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "net",
        "/net",
        "file:///etc/passwd",
        "ftp://a/b",
        "http:",
        "http://",
        "http:///b",
        "https://a b",
        "http://[::1",
        "http://a/\n",
        "http://a/\0",
        "http://a/ü",
        " http://a/b",
        "javascript:1",
        "//a/b",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(StoreError, match="an address starts with http:// or https://") as error:
        Remote(url, "net.h5")
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "digest", ["x" * 64, "0" * 7, "0" * 33, "0" * 63, "0" * 65, "0" * 128, "0x" + "0" * 62, "0" * 64 + "\n"]
)
def test_hashes_that_are_none(digest: str) -> None:
    with pytest.raises(StoreError, match=r"the hash of net\.h5 must be 32 \(md5\), 40 \(sha1\), 64"):
        Remote("http://a/b", "net.h5", digest)


def test_sizes_that_are_none() -> None:
    with pytest.raises(StoreError, match=r"net\.h5 cannot have -1 bytes"):
        Remote("http://a/b", "net.h5", "", -1)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:x/", "http://127.0.0.1:99999/", "http://" + "a" * 70 + ".b/", "http://a..b/"]
)
def test_addresses_that_cannot_be_asked(store: Path, url: str) -> None:
    assert told(Remote(url, "net.h5"))

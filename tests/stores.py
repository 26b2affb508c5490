"""What the tests of the store share: a file to fetch, and what came of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from convatlas.base.errors import StoreError
from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote, path_of

DATA = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()
HASHES = {
    "md5": hashlib.md5(DATA).hexdigest(),
    "sha1": hashlib.sha1(DATA).hexdigest(),
    "sha256": SHA256,
    "capitals": SHA256.upper(),
    "first 8": SHA256[:8],
    "first 31": SHA256[:31],
    "none": "",
}


def refusal(remote: Remote, folder: str = "downloads") -> str:
    """The error's text, which is one line."""
    with pytest.raises(StoreError) as error:
        fetch(remote, folder)
    text = str(error.value)
    assert text.isprintable()
    return text


def told(remote: Remote) -> str:
    """What the text says between the address and the place for the file; nothing is there."""
    said = refusal(remote)
    before, after = f"cannot download {remote.url}: ", f"; or save the file as {path_of(remote)} yourself"
    assert said.startswith(before)
    assert said.endswith(after)
    assert not path_of(remote).exists()
    return said.removeprefix(before).removesuffix(after)


def outcome(remote: Remote) -> bytes | str:
    """The file's bytes, or the error's text."""
    try:
        return fetch(remote, quiet=True).read_bytes()
    except StoreError as error:
        text = str(error)
    assert text.isprintable()
    return text


def left(remote: Remote) -> set[str]:
    """What is in the file's folder, apart from the lock."""
    folder = path_of(remote).parent
    return {one.name for one in folder.iterdir()} - {f".{remote.file}.lock"} if folder.exists() else set()


def put(path: Path, data: bytes, at: int = 1_700_000_000) -> None:
    """By hand, as if it had been there for years."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (at, at))

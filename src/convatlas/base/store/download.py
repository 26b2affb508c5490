"""One file over HTTP, taken up again where it broke off; nothing of what the server says is believed unchecked."""

from __future__ import annotations

import dataclasses
import json
import re
import stat
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from convatlas.base import atomic
from convatlas.base.errors import StoreError
from convatlas.base.store.http import Broken, ask, said
from convatlas.base.store.progress import Tell

CHUNK = 1 << 20
LIMIT = 4 << 30
TRIES = 3
PAUSE = 1.0  # seconds after the first try, twice as many after the second


@dataclass(frozen=True)
class Version:
    """Which version of a file a server sent: what it can be asked to go on with.

    Attributes:
        url: Where the file is published.
        etag: The server's mark of the version, "" if it has none.
        modified: When it says the file was changed last, "" if it does not.
        total: The whole file's length in bytes, None if it does not say.
    """

    url: str
    etag: str
    modified: str
    total: int | None

    @property
    def condition(self) -> str:
        """What the server has to hold the file against before it goes on; "" if it gave nothing that is exact."""
        return self.etag if self.etag.startswith('"') else self.modified

    def goes_on(self, later: Version) -> bool:
        """Whether the rest may be taken from the `later` answer."""
        same = dataclasses.replace(later, total=self.total) == self
        return same and self.total in (None, later.total)


def download(url: str, part: Path, *, size: int | None, checked: bool, tell: Tell) -> None:
    """Write the file at `url` to `part`, going on from what an earlier call left there.

    Args:
        url: An address with http or https.
        part: Where the bytes are gathered; what broke off stays for the next call, what is no good does not.
        size: The file's length in bytes, if it is known.
        checked: Whether the bytes will be held against a hash: only then may an answer end without having said where.
        tell: Is told how many bytes there are, of how many.

    Raises:
        StoreError: They cannot be had; the text is only the reason.
        OSError: `part` cannot be written.
    """
    for tried in range(1, TRIES + 1):
        try:
            _attempt(url, part, size, checked, tell)
            return
        except Broken as broken:
            if tried == TRIES:
                raise StoreError(f"{broken} ({TRIES} tries)") from None
        time.sleep(PAUSE * tried)


def discard(part: Path) -> None:
    """Forget what was gathered in `part`."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path, size: int | None, checked: bool, tell: Tell) -> None:
    earlier, start = _gathered(part, url)
    if earlier is not None and start == earlier.total:
        return
    response = ask(url, {"Range": f"bytes={start}-", "If-Range": earlier.condition} if earlier else {})
    version = _version(response, url, start)
    if earlier is not None and not (response.status == 206 and version is not None and earlier.goes_on(version)):
        start = 0
        if response.status != 200:
            response.close()
            response = ask(url, {})
        version = _version(response, url, start)
    with response:
        if version is None:
            raise StoreError(f"the server answers {response.status}, which is no whole file")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise StoreError("the server sends the file packed, which nobody asked for")
        _gather(response, version, part, start, size, checked, tell)


def _gather(
    response: HTTPResponse, version: Version, part: Path, start: int, size: int | None, checked: bool, tell: Tell
) -> None:
    """Appends the answer to what is there, from byte `start` on."""
    expected = version.total if size is None else size
    if version.total not in (None, expected):
        raise StoreError(f"the server announces {version.total:,} bytes, not {size:,}")
    limit = LIMIT if expected is None else expected
    if limit > LIMIT:
        raise StoreError(f"the server announces {limit:,} bytes; more than {LIMIT:,} are not taken")
    if expected is None and not response.chunked and not checked:
        raise StoreError("the server does not say where the file ends, and there is no hash to tell")
    if start == 0:
        # Never through a link: whatever has the name goes, and a new file is made.
        discard(part)
    done = start
    with part.open("ab" if start else "xb") as file:
        if start == 0:
            atomic.write_bytes(_note(part), json.dumps(dataclasses.asdict(version)).encode())
        tell(done, expected)
        # One byte beyond the end is asked for, to see whether it is one.
        while done != version.total and (data := _read(response, min(CHUNK, limit - done + 1))):
            done += len(data)
            if done > limit:
                break
            file.write(data)
            tell(done, expected)
    if done > limit:
        discard(part)
        raise StoreError(f"the server sends more than {limit:,} bytes")
    if expected is not None and done < expected:
        raise Broken(f"the answer broke off after {done:,} of {expected:,} bytes")


def _read(response: HTTPResponse, most: int) -> bytes:
    """What has arrived, at least one byte; nothing at the end."""
    try:
        return response.read1(most)
    except (OSError, HTTPException, ValueError) as error:
        raise Broken(f"the answer broke off: {said(error)}") from None


def _version(response: HTTPResponse, url: str, start: int) -> Version | None:
    """The version that an answer carries, from byte `start` on; None if it is no such answer."""
    total: int | None = response.length
    if response.status == 206:
        span = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})", response.headers.get("Content-Range", ""))
        if start == 0 or span is None or int(span[1]) != start:
            return None
        total = int(span[2])
    elif response.status != 200:
        return None
    etag, modified = (_plain(response.headers.get(name, "")) for name in ("ETag", "Last-Modified"))
    return Version(url, etag, modified, total)


def _plain(value: str) -> str:
    """A header that can be sent back as it is, or nothing."""
    return value if value.isascii() and value.isprintable() else ""


def _gathered(part: Path, url: str) -> tuple[Version | None, int]:
    """The version of which `part` holds the beginning, and how many bytes of it; None if it is of no use."""
    try:
        found = part.lstat()
        version = Version(**atomic.read_json(_note(part)))
        fits = version.url == url and version.condition and (version.total is None or found.st_size <= version.total)
    except (OSError, ValueError, TypeError, AttributeError):
        return None, 0
    if not fits or not found.st_size or not stat.S_ISREG(found.st_mode):
        return None, 0
    return version, found.st_size


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")

"""Download one file over HTTP, resuming where an earlier attempt broke off; the server is not trusted."""

from __future__ import annotations

import dataclasses
import json
import re
import stat
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import StoreError
from convatlas.base.files.structured import read_json, to_type
from convatlas.base.store.http import TransientError, describe, get
from convatlas.base.store.progress import ProgressCallback

CHUNK = 1 << 20  # bytes read at once
LIMIT = 4 << 30  # bytes of the largest file
TRIES = 3
PAUSE = 1.0  # seconds after the first try, twice as many after the second


@dataclass(frozen=True)
class Version:
    """The version of a file that a server sent; a later request that gets the same version can resume it.

    Attributes:
        url: Where the file is published.
        etag: The header ETag; "" without one.
        modified: The header Last-Modified; "" without one.
        total: Bytes of the whole file; None if the server does not say.
    """

    url: str
    etag: str
    modified: str
    total: int | None

    @property
    def condition(self) -> str:
        """Value for the header If-Range: a strong ETag, or else the time of the last change; "" without either."""
        return self.etag if self.etag.startswith('"') else self.modified

    def is_continued_by(self, later: Version) -> bool:
        """Whether a `later` response has the rest of this version."""
        same = dataclasses.replace(later, total=self.total) == self
        return same and self.total in (None, later.total)


def download(url: str, part: Path, *, size: int | None, hashed: bool, report: ProgressCallback) -> None:
    """Download the file at `url` to `part`, resuming what an earlier call left there.

    Args:
        url: An address with http or https.
        part: File for the bytes; kept for the next call if the download breaks off, deleted if it is too long.
        size: Bytes of the file, if known.
        hashed: Whether the caller compares the bytes with a hash; if not, the length must be known.
        report: Called with the number of bytes so far and in all.

    Raises:
        StoreError: The file cannot be downloaded; the text is only the reason.
        OSError: `part` cannot be written.
    """
    for attempt in range(1, TRIES + 1):
        try:
            _attempt(url, part, size, hashed, report)
            return
        except TransientError as error:
            if attempt == TRIES:
                raise StoreError(f"{error} ({TRIES} tries)") from None
        time.sleep(PAUSE * attempt)


def discard_partial(part: Path) -> None:
    """Delete a partial download and the note of its version."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path, size: int | None, hashed: bool, report: ProgressCallback) -> None:
    earlier, start = _partial(part, url)
    if earlier is not None and start == earlier.total:
        return
    response = get(url, {"Range": f"bytes={start}-", "If-Range": earlier.condition} if earlier else {})
    version = _version(response, url, start)
    continued = version is not None and earlier is not None and earlier.is_continued_by(version)
    if earlier is not None and not (response.status == 206 and continued):
        start = 0
        if response.status != 200:
            response.close()
            response = get(url, {})
        version = _version(response, url, start)
    with response:
        if version is None:
            raise StoreError(f"the server responds {response.status}, which is not a whole file")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise StoreError("the server sends the file compressed, which was not requested")
        _append(response, version, part, start, size, hashed, report)


def _append(
    response: HTTPResponse,
    version: Version,
    part: Path,
    start: int,
    size: int | None,
    hashed: bool,
    report: ProgressCallback,
) -> None:
    """Append the response to what `part` has, from byte `start` on."""
    expected = version.total if size is None else size
    if version.total not in (None, expected):
        raise StoreError(f"the server announces {version.total:,} bytes, not {size:,}")
    limit = LIMIT if expected is None else expected
    if limit > LIMIT:
        raise StoreError(f"the server announces {limit:,} bytes; the most allowed is {LIMIT:,}")
    if expected is None and not response.chunked and not hashed:
        raise StoreError("the server does not say how long the file is, and no hash is published")
    if start == 0:
        # A link of this name must not be written through: it is deleted, and a new file created.
        discard_partial(part)
    done = start
    with part.open("ab" if start else "xb") as file:
        if start == 0:
            write_bytes(_note(part), json.dumps(dataclasses.asdict(version)).encode())
        report(done, expected)
        # Reading one byte past the limit shows whether the file is longer.
        while done != version.total and (data := _read(response, min(CHUNK, limit - done + 1))):
            done += len(data)
            if done > limit:
                break
            file.write(data)
            report(done, expected)
    if done > limit:
        discard_partial(part)
        raise StoreError(f"the server sends more than {limit:,} bytes")
    if expected is not None and done < expected:
        raise TransientError(f"the download broke off after {done:,} of {expected:,} bytes")


def _read(response: HTTPResponse, most: int) -> bytes:
    """Read up to `most` bytes: those that have arrived, at least one; none at the end of the response."""
    try:
        return response.read1(most)
    except (OSError, HTTPException, ValueError) as error:
        raise TransientError(f"the download broke off: {describe(error)}") from None


def _version(response: HTTPResponse, url: str, start: int) -> Version | None:
    """Return the version whose bytes from `start` on a response has; None if it has other bytes or none."""
    total: int | None = response.length
    if response.status == 206:
        span = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})", response.headers.get("Content-Range", ""))
        if start == 0 or span is None or int(span[1]) != start:
            return None
        total = int(span[2])
    elif response.status != 200:
        return None
    etag, modified = (_sendable(response.headers.get(name, "")) for name in ("ETag", "Last-Modified"))
    return Version(url, etag, modified, total)


def _sendable(value: str) -> str:
    """Return a header's value if it can be sent back unchanged, otherwise an empty string."""
    return value if value.isascii() and value.isprintable() else ""


def _partial(part: Path, url: str) -> tuple[Version | None, int]:
    """Return the version whose beginning `part` has, and the number of bytes; (None, 0) if it cannot be resumed."""
    try:
        status = part.lstat()
        version = to_type(Version, read_json(_note(part)))
        fits = version.url == url and version.condition and (version.total is None or status.st_size <= version.total)
    except (OSError, ValueError, TypeError, AttributeError):
        return None, 0
    if not fits or not status.st_size or not stat.S_ISREG(status.st_mode):
        return None, 0
    return version, status.st_size


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")

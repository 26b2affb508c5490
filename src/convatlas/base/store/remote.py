"""Published files, and their places in the store."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from convatlas.base.errors import StoreError

# Windows takes these names for devices, whatever their ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_HASH = re.compile(r"([0-9a-fA-F]{8,32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64})?")

NO_FOLDER = Path(os.devnull).absolute() / "no home folder"
"""Store of a user who has no home folder and did not set `CONVATLAS_HOME`: a path at which nothing can exist."""


@dataclass(frozen=True)
class Remote:
    """A published file.

    Attributes:
        url: Address, with http or https.
        file: Name in the store: letters, digits, . _ -, without a dot at the start (the store's own files have one).
        hash: Published hash in hex: 32 digits are an md5, 40 a sha1, 64 a sha256, 8 to 31 the beginning of a sha256; ""
            if none is published.
        size: Published size in bytes, if known.

    Raises:
        StoreError: An attribute has another form.
    """

    url: str
    file: str
    hash: str = ""
    size: int | None = None

    def __post_init__(self) -> None:
        _check_name(self.file)
        if not _is_address(self.url):
            raise StoreError(f"an address starts with http:// or https:// and has no spaces; got {self.url[:200]!r}")
        if not _HASH.fullmatch(self.hash):
            allowed = "32 (md5), 40 (sha1), 64 (sha256) or 8 to 31 (the sha256's beginning) hex digits, or nothing"
            raise StoreError(f"the hash of {self.file} must be {allowed}; got {self.hash[:100]!r}")
        if self.size is not None and self.size < 0:
            raise StoreError(f"{self.file} cannot have {self.size} bytes")


def home() -> Path:
    """Return the folder of the store: `CONVATLAS_HOME`, or `convatlas` in the user's cache folder.

    Raises:
        StoreError: The name of the folder is not printable, or begins with ~ and the name of an unknown user.
    """
    chosen = os.environ.get("CONVATLAS_HOME")
    try:
        path = Path(chosen).expanduser().absolute() if chosen else _cache_folder() / "convatlas"
    except RuntimeError:
        if chosen:
            raise StoreError(f"{chosen!r} names no folder: set CONVATLAS_HOME to a folder for the store") from None
        # Not an error: most of convatlas needs no store.
        return NO_FOLDER
    if not str(path).isprintable():
        raise StoreError(f"the store cannot be at {str(path)!r}; set CONVATLAS_HOME to a folder with a printable name")
    return path


def _cache_folder() -> Path:
    """Return the user's cache folder on this platform; a relative `XDG_CACHE_HOME` is ignored (XDG Base Directory)."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return chosen if chosen.is_absolute() else Path.home() / ".cache"


def offline() -> bool:
    """Whether `CONVATLAS_OFFLINE` forbids every download."""
    return os.environ.get("CONVATLAS_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def path_of(remote: Remote, folder: str = "downloads") -> Path:
    """Return the path of a file in the store, whether it is there or not.

    Raises:
        StoreError: `folder` is not made of valid names with / between them.
    """
    parts = folder.split("/")
    for part in parts:
        _check_name(part)
    return home().joinpath(*parts, remote.file)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name.endswith(".") or _DEVICE.fullmatch(name):
        allowed = "up to 200 letters, digits, . _ - that neither begin nor end with a dot, and no device of Windows"
        raise StoreError(f"the store cannot hold {name[:100]!r}: a name is {allowed}")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and re.fullmatch(r"[!-~]+", url) is not None
    except ValueError:
        return False

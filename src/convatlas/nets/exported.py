"""Open a `.pt2` file of `torch.export.save` without running its code: PyTorch gets a checked copy of what is known."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from convatlas.base.errors import ConvAtlasError, printable
from convatlas.base.files.archive import Archive, ArchiveError, open_archive
from convatlas.base.files.reading import MAX_NOTES, reason
from convatlas.base.files.structured import SchemaError, parse_json
from convatlas.base.terminal.quiet import quiet
from convatlas.nets.exported_graph import GraphError, checked_graph, is_path

GRAPH = "models/model.json"
SAMPLES = "data/sample_inputs/model.pt"
"""Inputs that the net was exported with, a pickle that every file has: it is replaced by an empty one."""

CONFIGS = {"data/weights/model_weights_config.json": "weight", "data/constants/model_constants_config.json": "tensor"}
"""Descriptions of the numbers beside them, and how the names of these begin."""

NUMBERS = re.compile(r"data/(weights/weight|constants/tensor)_\d{1,6}")
"""Members with the numbers of one weight."""

PLAIN = ("archive_format", "archive_version", "byteorder", "version", ".data/version", ".data/serialization_id")
IGNORED = re.compile(r"\.format_version|\.storage_alignment|extra/.*")
"""Members that PyTorch is not shown: nothing depends on them."""

LONGEST = 1000
"""Most bytes of a member in `PLAIN`."""


class ExportedFileError(ValueError):
    """A file that is not opened; the text continues a sentence with its name."""


def load_exported(path: Path) -> ExportedProgram:
    """Return the program in a file of `torch.export.save`.

    Every member has to be of a known kind: the graph, its weights as plain numbers, and descriptions of both.

    Raises:
        ConvAtlasError: The file is damaged, or holds anything else: pickles, compiled code, or code in the graph.
    """
    try:
        with open_archive(path) as archive:
            data = _copy(archive)
    except OSError as error:
        raise ConvAtlasError(f"{path} could not be read: {reason(error)}") from None
    except (ArchiveError, ExportedFileError, GraphError, SchemaError) as error:
        raise ConvAtlasError(f"{path} could not be read: it {error}") from None
    try:
        with quiet():
            return torch.export.load(io.BytesIO(data))
    # PyTorch may raise anything for a damaged file.
    except Exception as error:
        text = printable(error) or type(error).__name__
        raise ConvAtlasError(f"{path} could not be read: {type(error).__name__}: {text}") from None


def _copy(archive: Archive) -> bytes:
    """Return an archive with the checked members."""
    roots = {name.partition("/")[0] for name in archive}
    if len(roots) != 1:
        raise ExportedFileError("is not a file of torch.export.save")
    root = roots.pop()
    names = [name for path in archive if not IGNORED.fullmatch(name := path.partition("/")[2])]
    for name in names:
        if name not in (GRAPH, SAMPLES, *CONFIGS, *PLAIN) and not NUMBERS.fullmatch(name):
            raise ExportedFileError(f"is not opened: it holds {printable(name)}, which may run code or is not known")
    if GRAPH not in names:
        raise ExportedFileError("is not a file of torch.export.save: it holds no models/model.json")
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as target:
        for name in names:
            target.writestr(f"archive/{name}", _member(archive, root, name))
    return copy.getvalue()


def _member(archive: Archive, root: str, name: str) -> bytes:
    """Return the checked bytes of a member."""
    member = f"{root}/{name}"
    if name == SAMPLES:
        return b""
    limit = LONGEST if name in PLAIN else MAX_NOTES if name in (GRAPH, *CONFIGS) else None
    if limit is not None and archive[member].size > limit:
        raise ExportedFileError(f"has {archive[member].size:,} bytes in {name}, of which {limit:,} are allowed")
    data = archive.read(member)
    if name == GRAPH:
        return checked_graph(data)
    if name in CONFIGS:
        _check_config(parse_json(data), archive, f"{root}/{name.rpartition('/')[0]}", CONFIGS[name])
    elif name == "byteorder" and data != b"little":
        raise ExportedFileError("was written by a machine with another order of bytes")
    return data


def _check_config(config: Any, archive: Archive, folder: str, kind: str) -> None:
    """Check that weights are plain numbers, as many as their shapes say, and no pickles."""
    try:
        for name, entry in config["config"].items():
            if entry["use_pickle"] is not False or entry["tensor_meta"] is None:
                raise ExportedFileError(f"is not opened: {printable(name)} is a pickle, which may run code")
            file, facts = entry["path_name"], entry["tensor_meta"]
            if not is_path(name) or not re.fullmatch(rf"{kind}_\d{{1,6}}", file):
                raise ExportedFileError(f"has strange names for {printable(name)}")
            sizes, strides = ([side["as_int"] for side in facts[key]] for key in ("sizes", "strides"))
            offset, size = facts["storage_offset"]["as_int"], archive[f"{folder}/{file}"].size
            if len(sizes) != len(strides) or any(type(n) is not int or n < 0 for n in (*sizes, *strides, offset)):
                raise ExportedFileError(f"has a strange shape for {printable(name)}")
            # Numbers that a stride of 0 repeats need a byte each here, since no net has such weights.
            count = 1
            for side in sizes:
                count *= side
            if count > size:
                raise ExportedFileError(f"declares {count:,} numbers for {printable(name)}, and holds {size:,} bytes")
    except (KeyError, TypeError, AttributeError):
        raise ExportedFileError("has a damaged description of its weights") from None

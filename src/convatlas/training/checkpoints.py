"""Checkpoints: whole or absent, the last two and the best; and the folder of a run, which one process owns."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import TrainingError
from convatlas.base.locking import owned as owner

PATTERN = "checkpoint-*.pt"


@contextmanager
def owned(folder: Path, resume: bool) -> Iterator[None]:
    """Holds the folder of a run, which is made; a second run is refused as long as this one lives.

    Raises:
        TrainingError: Another run is at work in it, one has been without `resume`, or nothing can be written there.
    """
    busy = TrainingError(f"another run is at work in {folder}; give this one a folder of its own")
    with owner(folder / "run", busy, unwritable):
        if not resume and (list(folder.glob(PATTERN)) or (folder / "result.json").exists()):
            raise TrainingError(f"{folder} holds a run already; resume it, or give this one a folder of its own")
        yield


def save(folder: Path, step: int, content: Mapping[str, Any], kept: int) -> None:
    """Writes the checkpoint after `step` steps, and takes away all but the last `kept`.

    Raises:
        TrainingError: It cannot be written; the earlier ones are still there.
    """
    path = folder / f"checkpoint-{step:010}.pt"
    data = io.BytesIO()
    torch.save(dict(content), data)
    write(path, data.getvalue())
    for old in sorted(folder.glob(PATTERN))[:-kept]:
        old.unlink(missing_ok=True)


def latest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, and what it holds; None if there is none.

    Raises:
        TrainingError: There are some, but all are damaged.
    """
    paths = sorted(folder.glob(PATTERN), reverse=True)
    for path in paths:
        try:
            return path, dict(torch.load(path, map_location="cpu", weights_only=True))
        # A damaged file makes the unpickler raise nearly anything.
        except Exception:
            continue
    if paths:
        raise TrainingError(f"none of the {len(paths)} checkpoints in {folder} can be read")
    return None


def check_same(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuses to go on from a checkpoint of another net, recipe or data; `there` and `here` say what each run is.

    Raises:
        TrainingError: Names the first difference.
    """
    for name in here:
        if there.get(name) != here[name]:
            raise TrainingError(f"{path} is of another run: its {name} is {there.get(name)!r}, not {here[name]!r}")


def write(path: Path, data: bytes) -> None:
    """Writes a file of the run, whole or not at all.

    Raises:
        TrainingError: It cannot be written.
    """
    try:
        write_bytes(path, data)
    except OSError as error:
        raise unwritable(path, error) from None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of JSON in a file, as far as they are whole."""
    lines = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def read_identity(folder: Path) -> dict[str, Any]:
    """What the run in a folder is, as it was written when it began.

    Raises:
        TrainingError: That cannot be read.
    """
    lines = read_lines(folder / "run.json")
    if not lines or not isinstance(lines[0], dict):
        raise TrainingError(f"{folder / 'run.json'}, which says what this run is, is damaged or gone")
    return lines[0]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """All lines anew: few enough, and never half a line."""
    write(path, "".join(json.dumps(line) + "\n" for line in lines).encode())


def unwritable(path: Path, error: OSError) -> TrainingError:
    """The error for a file or folder of a run that the system refuses to write."""
    return TrainingError(
        f"{path} cannot be written ({error.strerror or error}); earlier checkpoints of the run are whole: resume it"
    )

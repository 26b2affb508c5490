"""The folder of a run: its lock, the identity of the run, and the files in it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convatlas.base.atomic import write_bytes
from convatlas.base.errors import TrainingError, WeightsError
from convatlas.base.files.leftovers import remove_leftovers
from convatlas.base.files.reading import read_bytes
from convatlas.base.files.structured import SchemaError, excerpt, parse_json, to_type
from convatlas.base.fingerprint import fingerprint
from convatlas.base.locking import locked_or_error
from convatlas.nets.net import Net
from convatlas.training.data.splits import Splits
from convatlas.training.recipe import Recipe
from convatlas.training.result import TrainingResult
from convatlas.weights import user_weights
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import check_fit
from convatlas.weights.lineage import Lineage
from convatlas.weights.user_weights import UserLineage, adopt, lineage_of

CHECKPOINTS = "checkpoint-*.pt"


@contextmanager
def own_folder(folder: Path, resume: bool) -> Iterator[None]:
    """Create the folder of a run and lock it, so that a second run in it is refused.

    Raises:
        TrainingError: Another run is using the folder, it holds a run and `resume` is false, or it cannot be written.
    """
    busy = TrainingError(f"another run is at work in {folder}; give this one a folder of its own")
    with locked_or_error(folder / "run", busy, unwritable):
        remove_leftovers(folder / "best")
        if not resume and (list(folder.glob(CHECKPOINTS)) or (folder / "result.json").exists()):
            raise TrainingError(f"{folder} holds a run already; resume it, or give this one a folder of its own")
        yield


def run_identity(net: nn.Module, data: Splits, recipe: Recipe) -> dict[str, Any]:
    """Identity of a run in plain values: net, data, every setting, and the hash of the initial weights."""
    if isinstance(net, Net):
        described = dataclasses.asdict(native.describe(net))
        described.pop("lineage")
        name = json.dumps(described, default=str)
    else:
        name = type(net).__qualname__
    return {
        "net": name,
        "data": f"{data.name} {data.fingerprint}",
        **recipe.to_dict(),
        "start": fingerprint(net.state_dict()),
    }


def check_identity(path: Path, stored: Mapping[str, Any], current: Mapping[str, Any], longer: bool = False) -> None:
    """Refuse to resume a run of another net, recipe or data; if `longer`, it may have had fewer epochs.

    Raises:
        TrainingError: The identities differ; names the first difference.
    """
    for name in current:
        fewer = name == "epochs" and longer and isinstance(stored.get(name), int) and stored[name] < current[name]
        if stored.get(name) != current[name] and not fewer:
            raise TrainingError(
                f"{path} is of another run: its {name} is {excerpt(stored.get(name))}, not {excerpt(current[name])}"
            )


def read_identity(folder: Path) -> dict[str, Any]:
    """Identity of the run in a folder, as written when it started.

    Raises:
        TrainingError: run.json cannot be read.
    """
    lines = read_lines(folder / "run.json")
    if not lines:
        raise TrainingError(f"{folder / 'run.json'}, which identifies the run, is damaged or missing")
    return lines[0]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a JSON lines file, up to the first damaged one; empty if there is no such file."""
    lines: list[dict[str, Any]] = []
    try:
        for line in read_bytes(path).splitlines():
            lines.append(to_type(dict[str, Any], parse_json(line)))
    except FileNotFoundError:
        return []
    # What follows a damaged line is not read.
    except (OSError, SchemaError):
        pass
    return lines


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write a JSON lines file atomically, so that it never ends in half a line."""
    write_file(path, "".join(json.dumps(line) + "\n" for line in lines).encode())


def write_result(net: nn.Module, result: TrainingResult, folder: Path) -> None:
    """Write weights and result, in this order, so that a folder with a result has weights.

    Raises:
        TrainingError: They cannot be written.
    """
    weights = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in net.state_dict().items()
    }
    path = folder / "weights.safetensors"
    try:
        if isinstance(net, Net):
            native.write(weights, native.describe(net), path)
        else:
            lineage = lineage_of(net)
            assert isinstance(lineage, UserLineage)
            user_weights.write(weights, lineage, path)
    except OSError as error:
        raise unwritable(path, error) from None
    write_file(folder / "result.json", (result.to_json() + "\n").encode())


def load_weights(net: nn.Module, folder: Path) -> None:
    """Load the weights of a finished run, and their lineage, into its net.

    Raises:
        WeightsError: The file is damaged, or holds another net.
    """
    path = folder / "weights.safetensors"
    lineage: Lineage | None
    if isinstance(net, Net):
        weights, described = native.read(path)
        lineage = None if described is None else described.lineage
    else:
        weights, lineage = user_weights.read(path)
    check_fit(weights, net.state_dict(), f"the weights in {path}")
    net.load_state_dict(weights)
    net.eval()
    if lineage is not None and lineage.hash != fingerprint(net.state_dict()):
        raise WeightsError(f"{path} is damaged: its weights are not those that were trained")
    if isinstance(net, Net):
        net.lineage = lineage
    elif isinstance(lineage, UserLineage):
        adopt(net, lineage)


def write_file(path: Path, data: bytes) -> None:
    """Write a file of the run atomically.

    Raises:
        TrainingError: It cannot be written.
    """
    try:
        write_bytes(path, data)
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> TrainingError:
    """Error for a file or folder of a run that cannot be written."""
    return TrainingError(
        f"{path} cannot be written ({error.strerror or error}); earlier checkpoints of the run are whole: resume it"
    )

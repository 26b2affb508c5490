"""Write checkpoints atomically, and load the newest one that is not damaged."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from convatlas.base.errors import TrainingError
from convatlas.base.files.reading import reason
from convatlas.base.files.structured import SchemaError
from convatlas.base.files.torch_files import TorchFileError, read_torch
from convatlas.training.run_folder import CHECKPOINTS, write_file


def save(folder: Path, step: int, content: Mapping[str, Any], keep: int) -> None:
    """Write the checkpoint after `step` steps, and delete all but the last `keep`.

    Raises:
        TrainingError: It cannot be written; the earlier ones are kept.
    """
    path = folder / file_name(step)
    data = io.BytesIO()
    torch.save(dict(content), data)
    write_file(path, data.getvalue())
    for old in sorted(folder.glob(CHECKPOINTS))[:-keep]:
        old.unlink(missing_ok=True)


def file_name(step: int) -> str:
    """Name of the checkpoint after `step` steps."""
    return f"checkpoint-{step:010}.pt"


def load_latest(folder: Path, check: Callable[[Path, dict[str, Any]], None]) -> tuple[Path, dict[str, Any]] | None:
    """Load the newest checkpoint that is whole: its path and content; None if the folder has no checkpoint.

    Args:
        folder: The folder.
        check: Raises a SchemaError if the content of a file is not what `save` wrote; any other error is passed on.

    Raises:
        TrainingError: All checkpoints are damaged.
    """
    paths = sorted(folder.glob(CHECKPOINTS), reverse=True)
    why = ""
    for path in paths:
        try:
            content = read_torch(path)
            if not isinstance(content, dict):
                raise SchemaError("holds no checkpoint")
            check(path, content)
            return path, content
        except (OSError, TorchFileError, SchemaError) as error:
            why = why or f"{path.name} {reason(error)}"
    if paths:
        raise TrainingError(f"none of the {len(paths)} checkpoints in {folder} can be read: {why}")
    return None
